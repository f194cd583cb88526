//! Ratios over the rounds of a run, and the aims that they are held against.
//!
//! Two rates measured minutes apart differ by a third on a shared machine; two measured in turns within one round
//! differ far less. So each ratio is taken within a round, and the spread over the rounds shows how far to trust it.

use std::fmt;

use crate::report::Table;

/// Reads one figure from the results of a turn.
pub(crate) type Figure<T> = fn(&T) -> f64;

/// The middle, smallest and largest of the values of some rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, least, most })
    }

    /// Divides round by round; both sides have their rounds in the same order. A round whose divisor is zero counts
    /// for nothing.
    pub(crate) fn ratio(one: impl IntoIterator<Item = f64>, other: impl IntoIterator<Item = f64>) -> Option<Self> {
        let rounds = one.into_iter().zip(other).filter(|(_, other)| *other > 0.0);
        Self::of(rounds.map(|(one, other)| one / other).collect())
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = if self.median >= 100.0 { 0 } else { 2 };
        write!(to, "{:.decimals$} ({:.decimals$}-{:.decimals$})", self.median, self.least, self.most)
    }
}

/// The bound that every median of a row has to keep.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    /// The bound, and whether every median keeps it; `None` without values.
    pub(crate) fn verdict(self, values: &[Option<Spread>]) -> Option<String> {
        if values.iter().all(Option::is_none) {
            return None;
        }
        let medians = values.iter().flatten().map(|value| value.median);
        let (bound, met) = match self {
            Self::AtLeast(bound) => (format!("at least {bound}"), medians.fold(f64::INFINITY, f64::min) >= bound),
            Self::AtMost(bound) => (format!("at most {bound}"), medians.fold(0.0, f64::max) <= bound),
        };
        Some(format!("{bound}: {}", if met { "met" } else { "MISSED" }))
    }
}

/// A table of ratios: a row for each, a column for each number of connections or subscribers, and the aim.
#[derive(Debug)]
pub(crate) struct Ratios(Table);

impl Ratios {
    pub(crate) fn new(title: &str, columns: impl IntoIterator<Item = String>) -> Self {
        let columns: Vec<String> = [String::new()].into_iter().chain(columns).chain(["aim".to_owned()]).collect();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        Self(Table::new(&format!("{title}: ratios"), &columns))
    }

    /// Adds a row whose aim, if any, is about all columns.
    pub(crate) fn row(&mut self, name: &str, values: &[Option<Spread>], aim: Option<Aim>) {
        self.row_with_verdict(name, values, aim.and_then(|aim| aim.verdict(values)));
    }

    /// Adds a row, unless no column has a value: a contender of it did not run.
    pub(crate) fn row_with_verdict(&mut self, name: &str, values: &[Option<Spread>], verdict: Option<String>) {
        if values.iter().all(Option::is_none) {
            return;
        }
        let cells = values.iter().map(|value| value.map_or("-".to_owned(), |value| value.to_string()));
        self.0.row([name.to_owned()].into_iter().chain(cells).chain([verdict.unwrap_or("-".to_owned())]));
    }

    pub(crate) fn print(&self) {
        if self.0.has_rows() {
            self.0.print();
        }
    }
}
