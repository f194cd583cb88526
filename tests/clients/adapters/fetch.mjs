// A plain server-to-server caller: HTTP and nothing else. It asks by GET where that is allowed, and has no streams.

import { dataOf } from './answer.mjs';

export function connect(server, token) {
  const headers = { accept: 'application/graphql-response+json', ...(token && { authorization: `Bearer ${token}` }) };
  const answer = async (response) => dataOf(await response.json());
  return {
    async query(query, variables) {
      const url = `${server.url}?${new URLSearchParams({ query, variables: JSON.stringify(variables ?? {}) })}`;
      return answer(await fetch(url, { headers }));
    },
    async mutate(query, variables) {
      const body = JSON.stringify({ query, variables });
      return answer(
        await fetch(server.url, { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body }),
      );
    },
    close: () => {},
  };
}
