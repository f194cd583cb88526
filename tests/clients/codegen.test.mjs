// Types made from schema.graphql and the story's operations by graphql-codegen compile, strictly, and say what a
// program relies on: which fields may be null, which values an enumeration has.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { codegen } from '@graphql-codegen/core';
import * as typescript from '@graphql-codegen/typescript';
import * as operations from '@graphql-codegen/typescript-operations';
import { parse } from 'graphql';

import { agent, service, widget } from './documents.mjs';

const SCHEMA = fileURLToPath(new URL('../../schema.graphql', import.meta.url));
const require = createRequire(import.meta.url);
const { bin } = require('typescript/package.json');
const TSC = path.join(path.dirname(require.resolve('typescript/package.json')), bin.tsc);

const scalars = { UUID: 'string', Cursor: 'string', Datetime: 'string', InternetAddress: 'string', JSON: 'unknown' };

/** A program of a company, which must compile, and whose mistakes must not. */
const PROGRAM = `
import type { ChatQuery, CreateChatMutationVariables, InboxSubscription, StartChatMutation } from './operations';
import type { Chat, Mutation, Query, Subscription } from './schema';

export const asked: CreateChatMutationVariables = { customerName: 'Eve', headline: 'Late', contractId: 'a contract' };
// @ts-expect-error the contract is missing
export const incomplete: CreateChatMutationVariables = { customerName: 'Eve', headline: 'Late' };

export function won(answer: StartChatMutation): boolean {
  // @ts-expect-error no such outcome
  if (answer.startChat.outcome === 'MAYBE') return false;
  return answer.startChat.outcome === 'STARTED';
}

export function line({ chatStatus }: InboxSubscription): string {
  // @ts-expect-error READY has no record
  chatStatus.record.id;
  const place: string = chatStatus.cursor;
  return chatStatus.record ? \`\${chatStatus.record.headline} \${chatStatus.record.status}\` : place;
}

export const answerer = (data: ChatQuery): string | undefined => data.chat?.contract?.agent?.id;
export type Names = [keyof Query, keyof Mutation, keyof Subscription, Chat['id']];
`;

test('generated types compile', async () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'switchboard-codegen-'));
  try {
    const schema = parse(readFileSync(SCHEMA, 'utf8'));
    const documents = Object.entries({ ...widget, ...agent, ...service }).map(([name, text]) => {
      const document = parse(text);
      assert.equal(document.definitions[0].name.value, name, 'an operation has the name that it goes by');
      return { location: `${name}.graphql`, document };
    });
    const config = { scalars, strictScalars: true, enumsAsTypes: true, skipTypename: true };
    for (const [name, plugin] of Object.entries({ schema: typescript, operations })) {
      const text = await codegen({
        filename: `${name}.ts`,
        schema,
        documents: name === 'operations' ? documents : [],
        config,
        plugins: [{ [name]: {} }],
        pluginMap: { [name]: plugin },
      });
      writeFileSync(path.join(directory, `${name}.ts`), text);
    }
    writeFileSync(path.join(directory, 'program.ts'), PROGRAM);
    const options = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'preserve', '--types', ''];
    const compile = promisify(execFile)(process.execPath, [TSC, ...options, path.join(directory, 'program.ts')]);
    await compile.catch(({ message, stdout }) => assert.fail(`${message}\n${stdout}`));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
