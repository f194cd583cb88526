// The console: GraphiQL for this server's API.

import { GraphiQL } from 'graphiql';
import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import { createRoot } from 'react-dom/client';

import './console.css';
import { EMPTY, EXAMPLES } from './examples.js';
import { fetcher } from './fetcher.js';
import { TokenNote } from './token-note.jsx';

createRoot(document.getElementById('console')).render(
  <GraphiQL
    fetcher={fetcher}
    defaultTabs={EXAMPLES}
    defaultQuery={EMPTY}
    defaultEditorToolsVisibility={true}
  >
    <GraphiQL.Logo>Switchboard</GraphiQL.Logo>
    <TokenNote />
  </GraphiQL>,
);
