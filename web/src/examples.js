// The tabs that a first visit opens: one chat race from the customer's question to the winner, on the demo data.

const DEMO_WEBSITE = '5b000000-0000-7000-8000-000000000002';

const ask = `# Switchboard: a customer asks once, every agent on shift is offered the chat, the first to answer wins.
#
# 1. Run this (the pink button, or Ctrl-Enter). It starts a race: one chat for each agent on shift.
#    The website in the variables is the demo company's.
# 2. Take the id of one of the chats to the tab "Answer" and run that: this agent wins, the other is told.
# 3. "Watch" streams every change as it happens. Open this page in a second window, run it there,
#    and answer here.
#
# Every field and type: the book icon at the left. Ctrl-Space completes.

mutation Ask($websiteId: UUID!) {
  createChatRace(
    input: {
      websiteId: $websiteId
      customerName: "Grace"
      headline: "Where is my parcel?"
    }
  ) {
    race {
      key
      state
      expiresAt
      chats {
        id
        status
        contract {
          agent {
            name
          }
        }
      }
    }
  }
}
`;

const watch = `# Every chat that you may see: first as it is now (SNAPSHOT), then READY, then each change.
# With a key or a chatId it is one race or one chat; with \`after: "<cursor>"\` it goes on where it ended.

subscription Watch {
  chatStatus {
    operation
    record {
      id
      key
      status
      closeReason
      missed
      contract {
        agent {
          name
        }
      }
    }
    cursor
  }
}
`;

const answer = `# An agent answers. Exactly one of a race's chats can be STARTED; the others become FINISHED, RESCINDED.
# Put the chat's id into the variables. Run it again with another chat of the race: LOST_RACE.

mutation Answer($chatId: UUID!) {
  startChat(input: { chatId: $chatId }) {
    outcome
    chat {
      id
      status
      startedAt
    }
    race {
      state
      winner {
        id
      }
    }
  }
}
`;

const variables = (values) => JSON.stringify(values, null, 2);

export const EXAMPLES = [
  { query: ask, variables: variables({ websiteId: DEMO_WEBSITE }) },
  { query: watch },
  { query: answer, variables: variables({ chatId: 'the id of a chat' }) },
];

/** What a new tab starts with. */
export const EMPTY = '# Ctrl-Space completes, Ctrl-Enter runs.\n\n';
