// The operations of the chat story, in the shapes that widgets in the field, agents' consoles and companies' servers
// send. Code is generated from them too.

const OFFER = 'id key status missed headline ipAddress customerName';
const MESSAGE = 'id text author isAgent insertedAt updatedAt';

/** What a widget sends. */
export const widget = {
  Login: `mutation Login($publicKey: UUID!) {
    consumerLogin(input: { publicKey: $publicKey }) { jwtToken }
  }`,
  Website: `query Website($id: UUID!) {
    website(id: $id) {
      logoUrl
      color
      contracts(condition: { status: "active" }) { id name color rate status session chatMissTime chatMissFee agentId companyId }
    }
  }`,
  Contract: `query Contract($id: UUID!) { contract(id: $id) { id name color session chatMissTime agent { id } } }`,
  CreateChat: `mutation CreateChat(
    $customerName: String!, $headline: String!, $contractId: UUID!, $ipAddress: InternetAddress, $key: UUID
  ) {
    createChat(input: { chat: {
      customerName: $customerName, headline: $headline, contractId: $contractId, ipAddress: $ipAddress, key: $key
    } }) { chat { ${OFFER} } }
  }`,
  Miss: `mutation Miss($id: UUID!) { updateChat(input: { id: $id, patch: { missed: true } }) { chat { id missed } } }`,
  Finish: `mutation Finish($id: UUID!) {
    updateChat(input: { id: $id, patch: { status: FINISHED } }) { chat { id status version } }
  }`,
  Chat: `query Chat($id: UUID!) {
    chat(id: $id) { ${OFFER} closeReason rating version contract { id agent { id } } }
  }`,
  CreateMessage: `mutation CreateMessage($text: String!, $isAgent: Boolean!, $author: String!, $chatId: UUID!) {
    createMessage(input: { message: { text: $text, isAgent: $isAgent, author: $author, chatId: $chatId } }) {
      message { ${MESSAGE} }
    }
  }`,
  Messages: `query Messages($chatId: UUID!) {
    messages(condition: { chatId: $chatId }, orderBy: INSERTED_AT_ASC) { ${MESSAGE} }
  }`,
  CreateRate: `mutation CreateRate($rating: Int!, $chatId: UUID!) {
    createRate(input: { rate: { rating: $rating, chatId: $chatId } }) { rate { id } }
  }`,
  ChatStream: `subscription ChatStream($chatId: UUID!) {
    chat(id: $chatId) { id key status missed version contract { id agent { id } } }
  }`,
  ChatChanged: `subscription ChatChanged($contractId: UUID, $status: String) {
    chatChanged(contractId: $contractId, status: $status) { operation record { id key status missed version } }
  }`,
  MessageStream: `subscription MessageStream($chatId: UUID!) { onMessageAdded(chatId: $chatId) { record { ${MESSAGE} } } }`,
  ContractChanged: `subscription ContractChanged($companyId: UUID) {
    contractChanged(companyId: $companyId) { operation record { id name color status } }
  }`,
};

/** What an agent's console sends. */
export const agent = {
  Inbox: `subscription Inbox($after: Cursor) {
    chatStatus(after: $after) {
      operation
      record { id key status missed closeReason headline version contractId }
      cursor
      resync
    }
  }`,
  StartChat: `mutation StartChat($chatId: UUID!) {
    startChat(input: { chatId: $chatId }) { outcome chat { id status closeReason version } race { id state } }
  }`,
  StartByPatch: `mutation StartByPatch($id: UUID!) {
    updateChat(input: { id: $id, patch: { status: STARTED } }) { chat { id status } }
  }`,
};

/** What a company's server sends. */
export const service = {
  Paint: `mutation Paint($id: UUID!, $color: String!) {
    updateContract(input: { id: $id, patch: { color: $color } }) { contract { id color version } }
  }`,
  Trail: `query Trail($id: ID!) { events(subjectType: "chat", subjectId: $id) { nodes { version type actor } } }`,
};
