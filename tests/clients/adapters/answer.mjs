// What every adapter answers, however its client wraps it.
//
//   const client = connect(server, token);      // token: of whom it acts for; none is a visitor that logs in
//   await client.query(document, variables);    // the data, or throws Refused
//   await client.mutate(document, variables);
//   const stop = client.subscribe(document, variables, { next, error });   // absent where a client has no streams
//   client.cached(document, variables);         // where the client has a normalised cache: the data it holds
//   await client.close();
//
// A getter among the variables of a subscription is kept as one: it is read each time the client subscribes (again).

/** The server refused; `code` is the first error's `extensions.code`. */
export class Refused extends Error {
  constructor(errors) {
    super(errors.map((error) => error.message).join('; '));
    this.code = errors[0]?.extensions?.code;
  }
}

/** The data of a result, or throws. */
export function dataOf({ data, errors }) {
  if (errors?.length) throw new Refused(errors);
  return data;
}

/** What an error that a client threw stands for: an array of GraphQL errors, or itself. */
export const refusal = (error) => (Array.isArray(error) ? new Refused(error) : error);
