//! The keys of calls that run in one batch.
//!
//! A batch inserts the keys of all its calls first, in one order, so that two batches never wait for each other. It then
//! makes the calls that were not made before. A call that fails, or that has to run alone, leaves no key.

use std::collections::HashMap;

use serde::{Serialize, de::DeserializeOwned};

use super::{IdempotencyKey, begin, mismatch, sql, store};
use crate::platform::{
    error::{Code, Error, Result},
    unit::Unit,
};

/// The calls of a batch, some of them with keys, and the outcomes of those that were made before.
pub(crate) struct KeyedCalls<'k, T> {
    keys: Vec<Option<&'k IdempotencyKey>>,
    outcomes: Vec<Option<Result<T>>>,
    /// Which calls repeat an earlier one of this batch.
    repeats: HashMap<usize, usize>,
}

impl<'k, T: Clone + Serialize + DeserializeOwned> KeyedCalls<'k, T> {
    /// Inserts the keys. To be the first of the transaction.
    ///
    /// # Errors
    /// Those of the whole batch.
    pub(crate) async fn begin(unit: &mut Unit<'_>, keys: Vec<Option<&'k IdempotencyKey>>) -> Result<Self> {
        let mut outcomes: Vec<Option<Result<T>>> = keys.iter().map(|_| None).collect();
        let mut keyed: Vec<(usize, &IdempotencyKey)> =
            keys.iter().enumerate().filter_map(|(index, key)| Some((index, (*key)?))).collect();
        keyed.sort_by(|(_, a), (_, b)| a.order().cmp(&b.order()));
        let mut repeats = HashMap::new();
        let mut last: Option<(usize, &IdempotencyKey)> = None;
        for (index, key) in keyed {
            if let Some((of, _)) = last.filter(|(_, last)| last.order() == key.order()) {
                repeats.insert(index, of);
                continue;
            }
            match begin(unit, key).await {
                Ok(None) => last = Some((index, key)),
                Ok(Some(outcome)) => {
                    key.count_repeat();
                    outcomes[index] = Some(Ok(serde_json::from_str(&outcome)?));
                }
                Err(error) if error.code() == Code::IdempotencyMismatch => outcomes[index] = Some(Err(error)),
                Err(error) => return Err(error),
            }
        }
        Ok(Self { keys, outcomes, repeats })
    }

    /// The places of the calls that are to be made, in their order.
    pub(crate) fn fresh(&self) -> Vec<usize> {
        let is_fresh = |index: &usize| self.outcomes[*index].is_none() && !self.repeats.contains_key(index);
        (0..self.keys.len()).filter(is_fresh).collect()
    }

    /// Stores the outcomes of the calls that were made now; `None`: the call has to run alone. One outcome for each call.
    ///
    /// # Errors
    /// Those of the whole batch.
    pub(crate) async fn finish(
        mut self,
        unit: &mut Unit<'_>,
        made: impl IntoIterator<Item = Option<Result<T>>>,
    ) -> Result<Vec<Option<Result<T>>>> {
        for (index, outcome) in self.fresh().into_iter().zip(made) {
            if let Some(key) = self.keys[index] {
                match &outcome {
                    Some(Ok(outcome)) => store(unit, key, outcome).await?,
                    Some(Err(_)) | None => sql::delete(unit.connection(), key).await?,
                }
            }
            self.outcomes[index] = outcome;
        }
        for (index, of) in self.repeats {
            let (repeat, first) =
                self.keys[index].zip(self.keys[of]).ok_or_else(|| Error::internal("a key is gone"))?;
            let is_known = matches!(self.outcomes[of], Some(Ok(_)));
            self.outcomes[index] = if !is_known {
                // The first one left no key: this one is a call of its own.
                None
            } else if repeat.is_same_call(first) {
                repeat.count_repeat();
                self.outcomes[of].clone()
            } else {
                Some(Err(mismatch()))
            };
        }
        Ok(self.outcomes)
    }
}
