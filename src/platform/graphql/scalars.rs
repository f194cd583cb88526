//! The API's scalars besides GraphQL's own and `UUID`. Each has one text form: in GraphQL, in JSON (event payloads), in
//! `FromStr` and in `Display`.

use std::{fmt, net::IpAddr, str::FromStr};

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use ipnet::IpNet;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// The scalar `JSON`: any JSON value.
pub type Json = async_graphql::Json<serde_json::Value>;

/// A point in time: RFC 3339 with any offset on input, in UTC (`Z`) on output. Cut to the microsecond, the precision
/// of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Datetime(OffsetDateTime);

impl From<OffsetDateTime> for Datetime {
    /// Converts to UTC and cuts to microseconds.
    fn from(time: OffsetDateTime) -> Self {
        // The conversion fails only at the ends of the range; such a time keeps its offset.
        let utc = time.checked_to_offset(UtcOffset::UTC).unwrap_or(time);
        let nanosecond = utc.nanosecond() / 1_000 * 1_000;
        Self(utc.replace_nanosecond(nanosecond).unwrap_or(utc))
    }
}

impl From<Datetime> for OffsetDateTime {
    fn from(time: Datetime) -> Self {
        time.0
    }
}

impl FromStr for Datetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|time| time.checked_to_offset(UtcOffset::UTC))
            .filter(|time| (0..=9999).contains(&time.year()));
        time.map(Self::from)
            .ok_or_else(|| "expected a time like 2030-01-31T12:00:00Z (RFC 3339 with offset)".to_owned())
    }
}

impl fmt::Display for Datetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

/// An IPv4 or IPv6 address, or a network written with its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InternetAddress(IpNet);

impl From<IpNet> for InternetAddress {
    fn from(network: IpNet) -> Self {
        Self(network)
    }
}

impl From<IpAddr> for InternetAddress {
    fn from(address: IpAddr) -> Self {
        Self(address.into())
    }
}

impl From<InternetAddress> for IpNet {
    fn from(address: InternetAddress) -> Self {
        address.0
    }
}

impl FromStr for InternetAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
        network.map(Self).map_err(|_| "expected an address like 192.0.2.1, 2001:db8::1 or 192.0.2.0/24".to_owned())
    }
}

impl fmt::Display for InternetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() { self.0.addr().fmt(f) } else { self.0.fmt(f) }
    }
}

impl TryFrom<String> for Datetime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl TryFrom<String> for InternetAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Datetime> for String {
    fn from(time: Datetime) -> Self {
        time.to_string()
    }
}

impl From<InternetAddress> for String {
    fn from(address: InternetAddress) -> Self {
        address.to_string()
    }
}

/// Parses a scalar whose input is a string.
fn parse_text<T: ScalarType + async_graphql::InputType + FromStr<Err = String>>(value: Value) -> InputValueResult<T> {
    match value {
        Value::String(text) => text.parse().map_err(|problem: String| InputValueError::custom(problem)),
        other => Err(InputValueError::expected_type(other)),
    }
}

/// A point in time: RFC 3339 with offset, always UTC on output.
#[Scalar]
impl ScalarType for Datetime {
    fn parse(value: Value) -> InputValueResult<Self> {
        parse_text(value)
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }
}

/// IPv4 or IPv6 address, optional prefix length.
#[Scalar]
impl ScalarType for InternetAddress {
    fn parse(value: Value) -> InputValueResult<Self> {
        parse_text(value)
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed<T: FromStr<Err = String> + fmt::Display>(text: &str) -> Result<String, String> {
        text.parse::<T>().map(|value| value.to_string())
    }

    #[test]
    fn times_are_printed_in_utc_to_the_microsecond() {
        for (given, expected) in [
            ("2030-01-31T12:00:00Z", "2030-01-31T12:00:00Z"),
            ("2030-01-31T12:00:00.123456789+02:00", "2030-01-31T10:00:00.123456Z"),
            ("2030-01-01T00:30:00+01:00", "2029-12-31T23:30:00Z"),
            ("2030-01-31t12:00:00.5z", "2030-01-31T12:00:00.5Z"),
        ] {
            assert_eq!(printed::<Datetime>(given).as_deref(), Ok(expected));
        }
        for given in ["", "2030-01-31", "2030-01-31T12:00:00", "9999-12-31T23:00:00-02:00", "0000-01-01T00:00:00+01:00"]
        {
            assert!(printed::<Datetime>(given).is_err(), "{given}");
        }
    }

    #[test]
    fn an_address_is_printed_without_its_full_prefix() {
        for (given, expected) in [
            ("1.2.3.4", "1.2.3.4"),
            ("1.2.3.4/32", "1.2.3.4"),
            ("::1", "::1"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("2001:DB8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(printed::<InternetAddress>(given).as_deref(), Ok(expected));
        }
        for given in ["", "1.2.3", "1.2.3.4/33", "fe80::1%eth0", "example.org"] {
            assert!(printed::<InternetAddress>(given).is_err(), "{given}");
        }
    }

    #[test]
    fn the_text_in_json_is_the_text_in_graphql() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct Payload {
            at: Datetime,
            from: InternetAddress,
        }
        let text = r#"{"at":"2030-01-31T12:00:00.000001Z","from":"10.0.0.0/8"}"#;
        let payload: Payload = serde_json::from_str(text).expect("a payload");
        assert_eq!(serde_json::to_string(&payload).expect("JSON"), text);
        assert!(serde_json::from_str::<Payload>(&text.replace("10.0", "10.x")).is_err());
    }
}
