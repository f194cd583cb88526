// A note shown when the server refuses to show its schema to an anonymous caller. It explains where the token belongs,
// and has a field that inserts it there.

import { useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect, useState } from 'react';

const CODE = 'UNAUTHENTICATED';

function withToken(text, token) {
  let headers = {};
  try {
    headers = JSON.parse(text || '{}');
  } catch {
    // Invalid JSON cannot have been sent, so nothing is lost by replacing it.
  }
  const others = Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization');
  const value = /^bearer /i.test(token) ? token : `Bearer ${token}`;
  return JSON.stringify({ ...Object.fromEntries(others), Authorization: value }, null, 2);
}

export function TokenNote() {
  const refused = useGraphiQL((state) => state.fetchError?.includes(CODE) ?? false);
  const headerEditor = useGraphiQL((state) => state.headerEditor);
  const { introspect } = useGraphiQLActions();
  const [token, setToken] = useState('');

  // For a header typed by hand: tries again after each pause in typing, so that no button is needed.
  useEffect(() => {
    if (!refused || !headerEditor) return undefined;
    let pause;
    const listening = headerEditor.onDidChangeModelContent(() => {
      clearTimeout(pause);
      pause = setTimeout(introspect, 500);
    });
    return () => {
      clearTimeout(pause);
      listening.dispose();
    };
  }, [refused, headerEditor, introspect]);

  if (!refused) return null;
  const use = (event) => {
    event.preventDefault();
    headerEditor.setValue(withToken(headerEditor.getValue(), token.trim()));
    setToken('');
    introspect();
  };
  return (
    <form className="token-note" role="status" onSubmit={use}>
      <p>
        <strong>This server requires a credential.</strong> Put a token or an API key into the{' '}
        <em>Headers</em> tab below the editor, as <code>{'{ "Authorization": "Bearer …" }'}</code>; subscriptions use it
        too. To create a token: <code>switchboard token --role service --company ID</code>
      </p>
      <input
        type="password"
        autoComplete="off"
        aria-label="Token or API key"
        placeholder="Paste it here"
        value={token}
        onChange={(event) => setToken(event.target.value)}
      />
      {/* The headers editor loads after the page. Until then there is no place for the token. */}
      <button type="submit" disabled={!token.trim() || !headerEditor}>
        Use it
      </button>
    </form>
  );
}
