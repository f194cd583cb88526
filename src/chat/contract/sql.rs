//! Every query on contracts and agents.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{AgentRecord, ContractFilter, ContractRecord, ContractStatus, NewContract};
use crate::platform::error::Result;

/// Most contracts in one answer. A company has one for each agent and shift; a list that is longer is a mistake.
const MOST: i64 = 10_000;

/// A statement whose rows are whole contracts: what comes before their columns, what comes after, the arguments.
macro_rules! contracts {
    ($head:literal, $tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            ContractRecord,
            $head
                + r#" contract.company_id, contract.id, contract.website_id, contract.agent_id, contract.name,
                    contract.color, contract.rate, contract.status as "status: ContractStatus", contract.session,
                    contract.miss_time as chat_miss_time, contract.miss_fee as chat_miss_fee, contract.job_id,
                    contract.proposal_id, contract.agent_deleted, contract.version, contract.inserted_at,
                    contract.updated_at "#
                + $tail
            $(, $argument)*
        )
    };
}

/// One contract. Takes no lock.
pub(in crate::chat) async fn find(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<ContractRecord>> {
    Ok(find_many(connection, company_id, &[id]).await?.pop())
}

/// The company of a contract, whichever it is: who asks has none to begin with.
pub(super) async fn company_of(connection: &mut PgConnection, id: Uuid) -> Result<Option<Uuid>> {
    Ok(sqlx::query_scalar!("select company_id from contract where id = $1", id).fetch_optional(connection).await?)
}

/// Those of these contracts that are there. Takes no lock.
pub(in crate::chat) async fn find_many(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<ContractRecord>> {
    let contracts =
        contracts!("select", "from contract where contract.company_id = $1 and contract.id = any($2)", company_id, ids);
    Ok(contracts.fetch_all(connection).await?)
}

/// Contracts of any companies.
pub(super) async fn load(
    connection: &mut PgConnection,
    companies: &[Uuid],
    ids: &[Uuid],
) -> Result<Vec<ContractRecord>> {
    let contracts = contracts!(
        "select",
        "from unnest($1::uuid[], $2::uuid[]) as wanted (company_id, id)
         join contract on contract.company_id = wanted.company_id and contract.id = wanted.id",
        companies,
        ids
    );
    Ok(contracts.fetch_all(connection).await?)
}

/// Contracts that pass `filter` and, where given, are this website's and this agent's (the caller's rights).
pub(in crate::chat) async fn list(
    connection: &mut PgConnection,
    company_id: Uuid,
    filter: &ContractFilter,
    (website_id, agent_id): (Option<Uuid>, Option<Uuid>),
) -> Result<Vec<ContractRecord>> {
    let contracts = contracts!(
        "select",
        "from contract
         where contract.company_id = $1
             and ($2::uuid is null or contract.id = $2) and ($3::text is null or contract.status = $3)
             and ($4::int is null or contract.session = $4) and ($5::uuid is null or contract.agent_id = $5)
             and ($6::uuid is null or contract.website_id = $6)
             and ($7::uuid is null or contract.website_id = $7) and ($8::uuid is null or contract.agent_id = $8)
         order by contract.inserted_at, contract.id
         limit $9",
        company_id,
        filter.id,
        filter.status,
        filter.session,
        filter.agent_id,
        filter.website_id,
        website_id,
        agent_id,
        MOST
    );
    Ok(contracts.fetch_all(connection).await?)
}

/// Holds the agents of these contracts as they are until the transaction ends. Ascending; before any race.
pub(in crate::chat) async fn lock_shared(connection: &mut PgConnection, company_id: Uuid, ids: &[Uuid]) -> Result<()> {
    sqlx::query!(
        "select id from contract where company_id = $1 and id = any($2) order by id for key share",
        company_id,
        ids
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// As [`lock_shared`], and answers the contracts as they are under the lock: the agents stay, the rest may change.
pub(in crate::chat) async fn hold(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<ContractRecord>> {
    let contracts = contracts!(
        "select",
        "from contract where contract.company_id = $1 and contract.id = any($2)
         order by contract.id
         for key share",
        company_id,
        ids
    );
    Ok(contracts.fetch_all(connection).await?)
}

/// As [`lock_shared`], of the active contracts of a website's shift; answers which, at most `most`.
pub(in crate::chat) async fn lock_on_shift(
    connection: &mut PgConnection,
    company_id: Uuid,
    website_id: Uuid,
    session: i32,
    most: usize,
) -> Result<Vec<Uuid>> {
    let ids = sqlx::query_scalar!(
        "select id from contract
         where company_id = $1 and website_id = $2 and session = $3 and status = 'active' and not agent_deleted
         order by id
         limit $4
         for key share",
        company_id,
        website_id,
        session,
        i64::try_from(most).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

/// Locks one contract and answers it as it is under the lock: `for update` to give it to another agent, which waits
/// for everybody who is offering it a chat; else beside them.
pub(super) async fn lock(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
    moves_agent: bool,
) -> Result<Option<ContractRecord>> {
    if moves_agent {
        sqlx::query!("select id from contract where company_id = $1 and id = $2 for update", company_id, id)
            .fetch_optional(&mut *connection)
            .await?;
    } else {
        sqlx::query!("select id from contract where company_id = $1 and id = $2 for no key update", company_id, id)
            .fetch_optional(&mut *connection)
            .await?;
    }
    find(connection, company_id, id).await
}

/// Makes an agent known; a name replaces the one before, no name keeps it.
pub(super) async fn know_agent(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
    name: Option<&str>,
) -> Result<()> {
    sqlx::query!(
        "insert into agent (company_id, id, name) values ($1, $2, $3)
         on conflict (company_id, id) do update set name = excluded.name
             where excluded.name is not null and agent.name is distinct from excluded.name",
        company_id,
        id,
        name,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts a contract. Its website and agent are there.
pub(super) async fn insert(
    connection: &mut PgConnection,
    company_id: Uuid,
    new: &NewContract,
) -> Result<ContractRecord> {
    let contract = contracts!(
        "insert into contract
             (company_id, id, website_id, agent_id, name, color, rate, status, session, miss_time, miss_fee)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         returning",
        "",
        company_id,
        crate::platform::clock::new_id(),
        new.website_id,
        new.agent_id,
        new.name,
        new.color,
        new.rate,
        new.status.as_str(),
        new.session,
        new.chat_miss_time,
        new.chat_miss_fee
    );
    Ok(contract.fetch_one(connection).await?)
}

/// Writes what can change of a contract and raises its version. It is locked.
pub(super) async fn save(connection: &mut PgConnection, contract: &ContractRecord) -> Result<ContractRecord> {
    let saved = contracts!(
        "update contract
         set agent_id = $3, name = $4, color = $5, rate = $6, status = $7, session = $8, miss_time = $9,
             miss_fee = $10, agent_deleted = $11, version = version + 1, updated_at = switchboard.now()
         where contract.company_id = $1 and contract.id = $2
         returning",
        "",
        contract.company_id,
        contract.id,
        contract.agent_id,
        contract.name,
        contract.color,
        contract.rate,
        contract.status.as_str(),
        contract.session,
        contract.chat_miss_time,
        contract.chat_miss_fee,
        contract.agent_deleted
    );
    Ok(saved.fetch_one(connection).await?)
}

/// Agents of any companies.
pub(super) async fn load_agents(
    connection: &mut PgConnection,
    companies: &[Uuid],
    ids: &[Uuid],
) -> Result<Vec<AgentRecord>> {
    let agents = sqlx::query_as!(
        AgentRecord,
        "select agent.company_id, agent.id, agent.name
         from unnest($1::uuid[], $2::uuid[]) as wanted (company_id, id)
         join agent on agent.company_id = wanted.company_id and agent.id = wanted.id",
        companies,
        ids
    )
    .fetch_all(connection)
    .await?;
    Ok(agents)
}
