// Shown when the server wants to know who is asking before it shows its schema: where the token goes, and a field
// that puts it there.

import { useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect, useState } from 'react';

const CODE = 'UNAUTHENTICATED';

function withToken(text, token) {
  let headers = {};
  try {
    headers = JSON.parse(text || '{}');
  } catch {
    // What is no JSON could not have been sent.
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

  // Who types the header by hand needs no button: the schema comes as soon as it is right.
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
        <strong>This server wants to know who is asking.</strong> A token or an API key goes into the{' '}
        <em>Headers</em> tab below the editor, as <code>{'{ "Authorization": "Bearer …" }'}</code>; it is used for
        subscriptions too. To make one: <code>switchboard token --role service --company ID</code>
      </p>
      <input
        type="password"
        autoComplete="off"
        aria-label="Token or API key"
        placeholder="Paste it here"
        value={token}
        onChange={(event) => setToken(event.target.value)}
      />
      {/* The headers editor is loaded a moment after the page: before that there is nowhere to put the token. */}
      <button type="submit" disabled={!token.trim() || !headerEditor}>
        Use it
      </button>
    </form>
  );
}
