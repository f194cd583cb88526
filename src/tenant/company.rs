//! Creating companies.

use uuid::Uuid;

use super::{Tenants, checked_name, sql};
use crate::platform::{
    clock,
    error::Result,
    unit::{Unit, Verb},
};

struct CreateCompany {
    id: Uuid,
    name: String,
}

impl Verb for CreateCompany {
    type Outcome = Uuid;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Uuid> {
        sql::insert_company(unit.connection(), self.id, &self.name).await?;
        // No event: nobody subscribes to companies.
        unit.mark_changed();
        Ok(self.id)
    }
}

impl Tenants {
    /// Creates a company and returns its id. Names are for people and need not be unique.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a name that is empty, over 200 characters or not printable.
    pub async fn create_company(&self, name: &str) -> Result<Uuid> {
        self.work.run(CreateCompany { id: clock::new_id(), name: checked_name(name)?.to_owned() }).await
    }
}
