//! Numbers that look random and follow from a seed, so that a run can be repeated.

/// A small generator.
pub(crate) struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers. Neighbouring seeds give unlike numbers.
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// A number from 0, below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next()).unwrap() % bound
    }

    /// One of these; `None` if there are none.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len().max(1)))
    }
}

/// The seed of a test, from this variable of the environment, else of this moment. A test that fails prints it.
pub(crate) struct Seed {
    name: &'static str,
    pub(crate) value: u64,
}

impl Seed {
    /// Reads the variable `name`.
    pub(crate) fn from_env(name: &'static str) -> Self {
        let set = std::env::var(name).ok().map(|value| value.parse().expect("a number"));
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Self { name, value: set.unwrap_or(u64::try_from(since.as_millis()).unwrap() % 1_000_000) }
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with {}={}", self.name, self.value);
        }
    }
}
