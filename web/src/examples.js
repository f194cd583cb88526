// The tabs of a first visit: one chat race from the customer's question to the winner, with the demo data.

const DEMO_WEBSITE = '5b000000-0000-7000-8000-000000000002';

const ask = `# Switchboard: a customer asks once, every agent on
# shift is offered the chat, the first to answer wins.
#
# 1. Run this (the pink button, or Ctrl-Enter): a race,
#    with one chat for each agent on shift.
# 2. Take the id of one chat to the tab "Answer", run it:
#    this agent wins, the others' chats are rescinded.
# 3. "Watch" streams every change. Run it in a second
#    window, and ask and answer in this one.
#
# All fields and types: the book icon, top left.

mutation Ask {
  createChatRace(
    input: {
      # the demo company's
      websiteId: "${DEMO_WEBSITE}"
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

const watch = `# Every chat that you may see: as it is now (SNAPSHOT),
# then READY, then each change. With chatId or key: one
# chat, one race. With after: on from that cursor.

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

const answer = `# An agent answers. One chat of a race can be STARTED,
# the others become FINISHED, RESCINDED. The chat's id
# goes into the variables; run it again with another
# chat of the race: LOST_RACE.

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

// GraphiQL ignores the variables of the tab that is open first, so that tab has none.
export const EXAMPLES = [
  { query: ask },
  { query: watch },
  { query: answer, variables: JSON.stringify({ chatId: 'the id of a chat' }, null, 2) },
];

/** The content of a new tab. */
export const EMPTY = '# Ctrl-Space completes, Ctrl-Enter runs.\n\n';
