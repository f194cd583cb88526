// PostGraphile 5 on the table bench.chat, tuned as its documentation advises for production: no GraphiQL, no explain,
// original column names. Prints its address to standard error, as the load program expects of every server.
//   node postgraphile.mjs --schema    prints the schema instead, for writing the load program's documents

import { createServer } from 'node:http';
import { PostGraphileAmberPreset } from 'postgraphile/presets/amber';
import { makePgService } from 'postgraphile/adaptors/pg';
import { postgraphile } from 'postgraphile';
import { grafserv } from 'postgraphile/grafserv/node';

const preset = {
  extends: [PostGraphileAmberPreset],
  pgServices: [
    makePgService({ connectionString: process.env.DATABASE_URL, schemas: ['bench'], poolConfig: { max: 16 } }),
  ],
  grafserv: { graphiql: false, websockets: false },
  grafast: { explain: false },
};

const server = createServer();
server.on('error', (error) => {
  console.error(error);
  process.exit(1);
});
const serv = postgraphile(preset).createServ(grafserv);
await serv.addTo(server);
if (process.argv[2] === '--schema') {
  const { printSchema } = await import('graphql');
  const { schema } = await postgraphile(preset).getSchemaResult();
  console.log(printSchema(schema));
  process.exit(0);
}
await serv.ready?.();
server.listen(0, '127.0.0.1', () => {
  console.error(`listening on http://127.0.0.1:${server.address().port}`);
});
