#!/usr/bin/env python3
"""Writes degradation.csv: what two participants of one session measure on two providers, every 5 s for 7 minutes.

It is synthesized, not recorded: no recording of a failing provider that may be published was at hand. The model, with
the parameters below:

- Round trip on a good path: a base of its own for each participant, plus first-order autoregressive noise (coefficient
  0.7, 6 ms), plus with a probability of 8 % a single spike with a Pareto tail (shape 1.1, scale 180 ms, at most
  2,500 ms), as Wi-Fi retransmissions and the moments of a busy access link cause them.
- Loss: the two-state model of Gilbert and Elliott at 50 packets a second. On a good path the bad state begins with a
  probability of 0.05 % a packet, ends with 30 %, and loses 40 % of its packets.
- The provider `daily` degrades from second 180 on, as when a relay runs out of uplink: its queue adds a delay that grows
  along a smooth ramp to 1,250 ms at second 330 and stays there, 15 % of it as noise, with a sawtooth of 60 ms as TCP
  flows beside it back off; the bad state of the loss model begins up to 30 times as often.
- Jitter is the mean difference of consecutive round trips, smoothed by 1/16, as in RFC 3550.

`p2p` is a good path throughout. The generator is seeded, so that the file is the same whenever it is made.
"""

import random

SEED, STEP, END, BEGINS, FULL = 20251122, 5, 420, 180, 330
BASES = {"ann": {"daily": 46, "p2p": 62}, "bob": {"daily": 71, "p2p": 55}}


class Path:
    def __init__(self, base, degrades, rng):
        self.base, self.degrades, self.rng = base, degrades, rng
        self.noise, self.jitter, self.last, self.is_bad = 0.0, 4.0, base, False

    def ramp(self, second):
        if not self.degrades or second < BEGINS:
            return 0.0
        along = min(1.0, (second - BEGINS) / (FULL - BEGINS))
        return along * along * (3 - 2 * along)

    def loss(self, second):
        begins, lost, packets = 0.0005 * (1 + 29 * self.ramp(second)), 0, 50 * STEP
        for _ in range(packets):
            self.is_bad = self.rng.random() >= 0.3 if self.is_bad else self.rng.random() < begins
            lost += self.is_bad and self.rng.random() < 0.4
        return 100 * lost / packets

    def sample(self, second):
        self.noise = 0.7 * self.noise + self.rng.gauss(0, 6)
        spike = min(2500, 180 * self.rng.paretovariate(1.1)) if self.rng.random() < 0.08 else 0
        ramp = self.ramp(second)
        queue = 1250 * ramp * max(0.2, self.rng.gauss(1, 0.15)) + 60 * ramp * ((second % 35) / 35 - 0.5)
        latency = max(5, self.base + self.noise + spike + queue)
        self.jitter += (abs(latency - self.last) - self.jitter) / 16
        self.last = latency
        return round(latency), round(self.loss(second), 1), round(self.jitter)


rng = random.Random(SEED)
paths = {(user, name): Path(base, name == "daily", rng) for user, of in BASES.items() for name, base in of.items()}
with open("degradation.csv", "w") as out:
    out.write("second,user,provider,latency_ms,packet_loss_percent,jitter_ms\n")
    for second in range(0, END, STEP):
        for (user, name), path in paths.items():
            latency, loss, jitter = path.sample(second)
            out.write(f"{second},{user},{name},{latency},{loss},{jitter}\n")
