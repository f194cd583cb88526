// What a client hears on one subscription, kept from the first message on, so that a test asks for what has happened
// or will, in whichever order clients, sockets and servers get there.

/** How long a loaded machine may take over one step. */
export const PATIENCE = 30_000;

/** The one root field of an answer. */
export const only = (data) => Object.entries(data).find(([name]) => name !== '__typename')[1];

export class Stream {
  /** Messages in the order in which they came. */
  heard = [];
  #error;
  #waiting = new Set();

  constructor(client, document, variables = {}) {
    const wake = () => this.#waiting.forEach((look) => look());
    this.stop = client.subscribe(document, variables, {
      next: (data) => {
        this.heard.push(only(data));
        wake();
      },
      error: (error) => {
        this.#error = error;
        wake();
      },
    });
  }

  /** Records of the chats, messages or contracts told of, without READY. */
  get records() {
    return this.heard.filter(({ record }) => record).map(({ record }) => record);
  }

  /** The first message that `wanted` accepts, which may have come already; rejects with the stream's error. */
  until(wanted, what = String(wanted), patience = PATIENCE) {
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        clearTimeout(late);
        this.#waiting.delete(look);
        settle(value);
      };
      const look = () => {
        const found = this.heard.find((message) => wanted(message));
        if (found !== undefined) done(resolve, found);
        else if (this.#error) done(reject, this.#error);
      };
      const give = () => done(reject, new Error(`in vain: ${what} in ${JSON.stringify(this.heard)}`));
      const late = setTimeout(give, patience);
      this.#waiting.add(look);
      look();
    });
  }

  /**
   * For streams that tell changes only, and begin when the server has the subscription, which no protocol says: makes
   * a change again and again until one is heard.
   */
  async begun(change) {
    for (;;) {
      await change();
      try {
        return await this.until(() => true, 'a first change', 500);
      } catch (error) {
        if (error === this.#error) throw error;
      }
    }
  }
}

/** A stream, where the client has such. */
export const listen = (client, document, variables) => client.subscribe && new Stream(client, document, variables);
