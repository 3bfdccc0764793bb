//! The scalars of the schema. Invariant: what a scalar accepts, it can give back the same way; what it refuses,
//! it refuses in words that say what is wanted.

use async_graphql::{InputObject, InputValueError, InputValueResult, Name, Scalar, ScalarType, SimpleObject, Value};
use chrono::{NaiveDate, SecondsFormat, SubsecRound, Utc};
use diesel::{
    deserialize::{FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::Timestamptz,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use std::str::FromStr;

/// The scalar of that name, described where its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, FromSqlRow)]
#[serde(transparent)]
pub struct DateTime(pub chrono::DateTime<Utc>);

impl DateTime {
    /// Now, to the millisecond: what a client is shown is what is stored, so that it can be compared with.
    pub fn now() -> Self {
        DateTime(Utc::now().trunc_subsecs(3))
    }
}

impl FromSql<Timestamptz, Pg> for DateTime {
    fn from_sql(raw: PgValue<'_>) -> diesel::deserialize::Result<Self> {
        chrono::DateTime::<Utc>::from_sql(raw).map(DateTime)
    }
}

/// A moment in UTC with milliseconds, such as `2026-01-02T03:04:05.678Z`. Any offset is accepted.
#[Scalar(specified_by_url = "https://scalars.graphql.org/andimarek/date-time")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let wanted = || InputValueError::custom("A DateTime looks like 2026-01-02T03:04:05.678Z.");
        let Value::String(text) = &value else { return Err(wanted()) };
        let time = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| wanted())?.with_timezone(&Utc);
        // By way of the number: a leap second is the one after it, as in PostgreSQL.
        chrono::DateTime::from_timestamp_millis(time.timestamp_millis())
            .filter(|time| in_range(time.date_naive()))
            .map(DateTime)
            .ok_or_else(|| InputValueError::custom("A DateTime lies between the years 0001 and 9999."))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// Whether a date is one of those that are taken in: what cursors claim beyond them, PostgreSQL may not even know.
pub(super) fn in_range(date: NaiveDate) -> bool {
    (1..=9999).contains(&chrono::Datelike::year(&date))
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Date(pub NaiveDate);

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d"))
    }
}

/// A day, such as `2026-01-02`.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339#section-5.6")]
impl ScalarType for Date {
    fn parse(value: Value) -> InputValueResult<Self> {
        let wanted = || InputValueError::custom("A Date is a day that exists, such as 2026-01-02.");
        let Value::String(text) = &value else { return Err(wanted()) };
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| wanted())?;
        let day = Date(day);
        // chrono also reads signs and spaces.
        (in_range(day.0) && day.to_string() == *text).then_some(day).ok_or_else(wanted)
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Decimal(pub rust_decimal::Decimal);

/// An exact decimal number as a string, such as `"12.50"`. An Int is accepted as well; a Float is not, because it
/// is not exact.
#[Scalar(specified_by_url = "https://www.postgresql.org/docs/current/datatype-numeric.html")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        let parsed = match &value {
            Value::String(text) if text.len() <= 40 && !text.contains('_') => {
                rust_decimal::Decimal::from_str_exact(text).ok()
            }
            Value::Number(number) => number.as_i64().map(Into::into),
            _ => None,
        };
        parsed.map(Decimal).ok_or_else(|| {
            InputValueError::custom("A Decimal is a string such as \"12.50\", or an Int; a Float is not exact.")
        })
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BigInt(pub i64);

/// A whole number of up to 64 bits as a string. An Int is accepted as well.
#[Scalar(specified_by_url = "https://www.postgresql.org/docs/current/datatype-numeric.html#DATATYPE-INT")]
impl ScalarType for BigInt {
    fn parse(value: Value) -> InputValueResult<Self> {
        let parsed = match &value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_i64(),
            _ => None,
        };
        parsed.map(BigInt).ok_or_else(|| InputValueError::custom("A BigInt is a whole number of up to 64 bits."))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EmailAddress(pub String);

/// An e-mail address, kept in lower case; at most 254 characters.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc5322#section-3.4.1")]
impl ScalarType for EmailAddress {
    fn parse(value: Value) -> InputValueResult<Self> {
        let wanted = || InputValueError::custom("An EmailAddress looks like ada@example.com, at most 254 characters.");
        let Value::String(text) = &value else { return Err(wanted()) };
        let text = text.trim().to_lowercase();
        let sound =
            text.len() <= 254 && email_address::EmailAddress::is_valid(&text) && !text.contains(['"', '<', '\0']);
        sound.then_some(EmailAddress(text)).ok_or_else(wanted)
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Url(pub String);

/// An absolute `http` or `https` address, at most 2 000 characters.
#[Scalar(name = "URL", specified_by_url = "https://url.spec.whatwg.org/")]
impl ScalarType for Url {
    fn parse(value: Value) -> InputValueResult<Self> {
        let wanted = || InputValueError::custom("A URL starts with https:// or http://, at most 2000 characters.");
        let Value::String(text) = &value else { return Err(wanted()) };
        let text = text.trim();
        let url = url::Url::parse(text).map_err(|_| wanted())?;
        // What a browser would drop or encode, the text as it is stored must not have.
        let plain = !text.contains(|letter: char| letter.is_control() || letter.is_whitespace());
        let sound = matches!(url.scheme(), "http" | "https") && url.has_host() && text.chars().count() <= 2000 && plain;
        sound.then(|| Url(text.to_owned())).ok_or_else(wanted)
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CurrencyCode(pub String);

/// An ISO 4217 currency code, such as `EUR`.
#[Scalar(specified_by_url = "https://www.iso.org/iso-4217-currency-codes.html")]
impl ScalarType for CurrencyCode {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(code) if iso_currency::Currency::from_str(code).is_ok() => Ok(CurrencyCode(code.clone())),
            _ => Err(InputValueError::custom("A CurrencyCode is an ISO 4217 code such as EUR.")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JsonObject(pub Map<String, Json>);

impl JsonObject {
    /// From the database, where a check keeps it an object.
    pub fn stored(value: Json) -> Self {
        match value {
            Json::Object(map) => JsonObject(map),
            _ => JsonObject::default(),
        }
    }
}

/// A JSON object.
#[Scalar(name = "JSONObject", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for JsonObject {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value.into_json() {
            Ok(Json::Object(map)) => Ok(JsonObject(map)),
            _ => Err(InputValueError::custom("A JSONObject is an object, such as {\"size\": \"XL\"}.")),
        }
    }

    fn to_value(&self) -> Value {
        Value::Object(self.0.iter().map(|(key, value)| (Name::new(key), json(value))).collect())
    }
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Debug, PartialEq)]
pub struct AnyJson(pub Json);

/// Any JSON value.
#[Scalar(name = "JSON", specified_by_url = "https://www.rfc-editor.org/rfc/rfc8259")]
impl ScalarType for AnyJson {
    fn parse(value: Value) -> InputValueResult<Self> {
        value.into_json().map(AnyJson).map_err(|_| InputValueError::custom("This is not JSON."))
    }

    fn to_value(&self) -> Value {
        json(&self.0)
    }
}

fn json(value: &Json) -> Value {
    Value::from_json(value.clone()).unwrap_or(Value::Null)
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTimeOrDuration(pub chrono::DateTime<Utc>);

/// A moment, or a time from now: a DateTime such as `2026-01-02T03:04:05Z`, or an ISO 8601 duration relative to
/// now such as `-P7D` (a week ago) or `P1M` (in a month).
#[Scalar(specified_by_url = "https://www.iso.org/iso-8601-date-and-time-format.html")]
impl ScalarType for DateTimeOrDuration {
    fn parse(value: Value) -> InputValueResult<Self> {
        let wanted = || {
            InputValueError::custom("Give a DateTime such as 2026-01-02T03:04:05Z or a duration from now such as -P7D.")
        };
        let Value::String(text) = &value else { return Err(wanted()) };
        if let Some(time) = from_now(text) {
            return Ok(DateTimeOrDuration(time));
        }
        <DateTime as ScalarType>::parse(value).map(|time| DateTimeOrDuration(time.0)).map_err(|_| wanted())
    }

    fn to_value(&self) -> Value {
        DateTime(self.0).to_value()
    }
}

/// The scalar of that name, described where its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateOrDuration(pub NaiveDate);

/// A day, or a time from today: a Date such as `2026-01-02`, or an ISO 8601 duration such as `-P7D`.
#[Scalar(specified_by_url = "https://www.iso.org/iso-8601-date-and-time-format.html")]
impl ScalarType for DateOrDuration {
    fn parse(value: Value) -> InputValueResult<Self> {
        let wanted = || InputValueError::custom("Give a Date such as 2026-01-02 or a duration from now such as -P7D.");
        let Value::String(text) = &value else { return Err(wanted()) };
        if let Some(time) = from_now(text) {
            return Ok(DateOrDuration(time.date_naive()));
        }
        <Date as ScalarType>::parse(value).map(|day| DateOrDuration(day.0)).map_err(|_| wanted())
    }

    fn to_value(&self) -> Value {
        Date(self.0).to_value()
    }
}

/// `[-]PnYnMnWnDTnHnMnS` from now (ISO 8601 durations, whole numbers). None: not a duration, or beyond the years
/// that a DateTime can tell.
fn from_now(text: &str) -> Option<chrono::DateTime<Utc>> {
    let (back, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let rest = rest.strip_prefix('P')?;
    let (mut months, mut seconds, mut number, mut clock, mut any) = (0u32, 0i64, String::new(), false, false);
    for letter in rest.chars() {
        if letter.is_ascii_digit() && number.len() < 6 {
            number.push(letter);
            continue;
        }
        if letter == 'T' && number.is_empty() && !clock {
            clock = true;
            continue;
        }
        let count: u32 = std::mem::take(&mut number).parse().ok()?;
        any = true;
        let unit = match (letter, clock) {
            ('Y', false) => {
                months = months.checked_add(count.checked_mul(12)?)?;
                continue;
            }
            ('M', false) => {
                months = months.checked_add(count)?;
                continue;
            }
            ('W', false) => 7 * 86_400,
            ('D', false) => 86_400,
            ('H', true) => 3600,
            ('M', true) => 60,
            ('S', true) => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(i64::from(count).checked_mul(unit)?)?;
    }
    if !any || !number.is_empty() {
        return None;
    }
    let (months, span) = (chrono::Months::new(months), chrono::TimeDelta::try_seconds(seconds)?);
    let time = if back {
        Utc::now().checked_sub_months(months)?.checked_sub_signed(span)?
    } else {
        Utc::now().checked_add_months(months)?.checked_add_signed(span)?
    };
    in_range(time.date_naive()).then_some(time.trunc_subsecs(3))
}

/// Where somebody is or gets post.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, SimpleObject, InputObject)]
#[graphql(input_name = "AddressInput")]
#[serde(default, rename_all = "camelCase")]
pub struct Address {
    /// Street and number, at most 300 characters.
    pub street: Option<String>,
    /// Town, at most 120 characters.
    pub city: Option<String>,
    /// State, province or region, at most 120 characters.
    pub state: Option<String>,
    /// Postal code, at most 20 characters.
    pub postal_code: Option<String>,
    /// Country, at most 120 characters.
    pub country: Option<String>,
}

impl Address {
    pub fn to_json(&self) -> Json {
        serde_json::to_value(self).unwrap_or(Json::Null)
    }

    /// Its lines with the name and the limit of each.
    pub fn parts(&mut self) -> [(&'static str, &mut Option<String>, usize); 5] {
        [
            ("street", &mut self.street, 300),
            ("city", &mut self.city, 120),
            ("state", &mut self.state, 120),
            ("postalCode", &mut self.postal_code, 20),
            ("country", &mut self.country, 120),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_count_from_now() {
        for (text, minutes) in [("-P7D", -7 * 24 * 60), ("PT90M", 90)] {
            let (before, then, after) = (Utc::now(), from_now(text).expect("a duration"), Utc::now());
            let exactly = chrono::TimeDelta::minutes(minutes);
            assert!(before.trunc_subsecs(3) + exactly <= then && then <= after + exactly, "{text}: {then}");
        }
        for nonsense in ["P", "-P", "P7", "PD", "P1H", "PT1D", "7D", "P999999Y", "P1Dx", "P9999999D", ""] {
            assert!(from_now(nonsense).is_none(), "{nonsense}");
        }
    }

    #[test]
    fn what_does_not_exist_is_refused() {
        let parse = |text: &str| <Date as ScalarType>::parse(Value::String(text.into())).is_ok();
        assert!(parse("2024-02-29"));
        for nonsense in ["2023-02-29", "2026-1-2", "10000-01-01", "2026-01-02T00:00:00Z"] {
            assert!(!parse(nonsense), "{nonsense}");
        }
        let decimal = |value: Value| <Decimal as ScalarType>::parse(value).is_ok();
        assert!(decimal(Value::String("12.50".into())) && decimal(Value::from(3)));
        assert!(!decimal(Value::from(1.5)) && !decimal(Value::String("1e5".into())));
    }
}
