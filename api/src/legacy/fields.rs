//! Reads the fields of a post, as the older systems read them.
//!
//! Values are read into [`Given`], which holds a number, a text or neither; what an older system does not know is passed over
//! without being kept.

use std::fmt;

use fleetps_nats::snapshot::MAX_PROCESSES;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json};

use super::Fault;

/// Faulty elements of a list that are told: as many as people read; 20,000 say nothing more.
const MAX_FAULTS: usize = 100;

/// A value as it was sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Given {
    /// The field is not there.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// A whole number.
    Whole(i64),
    /// Another number.
    Number(f64),
    /// A text.
    Text(String),
    /// True or false.
    Flag(bool),
    /// A list or an object.
    Other,
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue;
        impl<'de> Visitor<'de> for AnyValue {
            type Value = Given;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Given, E> {
                Ok(Given::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Given, E> {
                Ok(Given::Flag(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Given, E> {
                Ok(Given::Whole(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Given, E> {
                Ok(i64::try_from(value).map_or(Given::Number(value as f64), Given::Whole))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Given, E> {
                Ok(Given::Number(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Given, E> {
                Ok(Given::Text(value.to_owned()))
            }
            fn visit_string<E>(self, value: String) -> Result<Given, E> {
                Ok(Given::Text(value))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Given, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Given::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Given, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Given::Other)
            }
        }
        deserializer.deserialize_any(AnyValue)
    }
}

/// The beginning of the error of a list that is too long.
pub(super) const TOO_MANY: &str = "too many elements";

/// A list as it was sent, of at most as many elements as a snapshot may have processes; `None` for anything else.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GivenList<T>(pub Option<Vec<T>>);

impl<T> Default for GivenList<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for GivenList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = GivenList<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(GivenList(None))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = list.next_element()? {
                    if elements.len() >= MAX_PROCESSES {
                        return Err(serde::de::Error::custom(TOO_MANY));
                    }
                    elements.push(element);
                }
                Ok(GivenList(Some(elements)))
            }
        }
        deserializer.deserialize_any(List(std::marker::PhantomData))
    }
}

/// Reads fields, and collects what is wrong with them: `{field: [sentence]}`, as the older systems say it.
#[derive(Debug, Default)]
pub(super) struct Fields {
    faults: Map<String, Value>,
}

impl Fields {
    /// Notes a fault.
    pub(super) fn fault(&mut self, field: &str, sentence: &str) {
        self.faults.insert(field.to_owned(), json!([sentence]));
    }

    /// Notes the faults of what is nested in a field.
    pub(super) fn nested(&mut self, field: &str, faults: Value) {
        self.faults.insert(field.to_owned(), faults);
    }

    /// The faults so far, as a value.
    pub(super) fn faults(self) -> Option<Value> {
        (!self.faults.is_empty()).then_some(Value::Object(self.faults))
    }

    /// Everything that was noted.
    ///
    /// # Errors
    /// When something was.
    pub(super) fn end(self) -> Result<(), Fault> {
        if self.faults.is_empty() { Ok(()) } else { Err(Fault::of_fields(self.faults)) }
    }

    /// A text that must be there, of 1 to `most` characters.
    pub(super) fn text(&mut self, field: &str, given: Given, most: usize) -> String {
        self.optional_text(field, given, most).unwrap_or_else(|| {
            self.required(field);
            String::new()
        })
    }

    /// A text that may be absent or null; an empty one is a fault.
    pub(super) fn optional_text(&mut self, field: &str, given: Given, most: usize) -> Option<String> {
        let text = self.any_text(field, given, most)?;
        if text.trim().is_empty() {
            self.fault(field, "This field may not be blank.");
        }
        Some(text)
    }

    /// A text that may be absent, null or empty.
    pub(super) fn any_text(&mut self, field: &str, given: Given, most: usize) -> Option<String> {
        let text = match given {
            Given::Text(text) => text,
            Given::Whole(number) => number.to_string(),
            Given::Number(number) => number.to_string(),
            Given::Absent | Given::Null => return None,
            Given::Flag(_) | Given::Other => {
                self.fault(field, "Not a valid string.");
                return Some(String::new());
            }
        };
        if text.chars().count() > most {
            self.fault(field, &format!("Ensure this field has no more than {most} characters."));
        }
        Some(text)
    }

    /// A number that must be there and is not negative.
    pub(super) fn number(&mut self, field: &str, given: Given) -> f64 {
        self.optional_number(field, given).unwrap_or_else(|| {
            self.required(field);
            0.0
        })
    }

    /// The same where it may be absent or null.
    pub(super) fn optional_number(&mut self, field: &str, given: Given) -> Option<f64> {
        let number = match given {
            Given::Whole(number) => number as f64,
            Given::Number(number) => number,
            Given::Text(text) => text.trim().parse().unwrap_or(f64::NAN),
            Given::Absent | Given::Null => return None,
            Given::Flag(_) | Given::Other => f64::NAN,
        };
        if !number.is_finite() {
            self.fault(field, "A valid number is required.");
            return Some(0.0);
        }
        if number < 0.0 {
            self.fault(field, "Ensure this value is greater than or equal to 0.");
        }
        Some(number)
    }

    /// A whole number that must be there, from 0 to `most`.
    pub(super) fn whole(&mut self, field: &str, given: Given, most: i64) -> i64 {
        self.optional_whole(field, given, most).unwrap_or_else(|| {
            self.required(field);
            0
        })
    }

    /// The same where it may be absent or null.
    pub(super) fn optional_whole(&mut self, field: &str, given: Given, most: i64) -> Option<i64> {
        let number = match given {
            Given::Whole(number) => Some(number),
            Given::Number(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(number as i64),
            Given::Text(text) => text.trim().parse().ok(),
            Given::Absent | Given::Null => return None,
            Given::Number(_) | Given::Flag(_) | Given::Other => None,
        };
        match number {
            None => self.fault(field, "A valid integer is required."),
            Some(number) if number < 0 => {
                self.fault(field, "Ensure this value is greater than or equal to 0.");
            }
            Some(number) if number > most => {
                self.fault(field, &format!("Ensure this value is less than or equal to {most}."));
            }
            Some(_) => {}
        }
        Some(number.unwrap_or_default())
    }

    /// The elements of a list that must be there, each read by `read`.
    pub(super) fn list<T, R>(
        &mut self,
        field: &str,
        given: GivenList<T>,
        mut read: impl FnMut(&mut Self, T) -> R,
    ) -> Vec<R> {
        let Some(elements) = given.0 else {
            self.required(field);
            return Vec::new();
        };
        let (mut faults, mut all) = (Vec::new(), Vec::with_capacity(elements.len()));
        for element in elements {
            let mut own = Self::default();
            all.push(read(&mut own, element));
            faults.push(own.faults().unwrap_or_else(|| json!({})));
        }
        let is_fault = |fault: &Value| fault.as_object().is_some_and(|fields| !fields.is_empty());
        let faulty = faults.iter().enumerate().filter(|(_, fault)| is_fault(fault)).map(|(place, _)| place);
        if let Some(last) = faulty.take(MAX_FAULTS).last() {
            faults.truncate(last + 1);
            self.nested(field, Value::Array(faults));
        }
        all
    }

    /// Notes that a field is not there, unless another fault of it is known.
    pub(super) fn required(&mut self, field: &str) {
        if !self.faults.contains_key(field) {
            self.fault(field, "This field is required.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Post {
        name: Given,
        processes: GivenList<Given>,
    }

    #[test]
    fn the_first_hundred_faults_of_a_list_are_told_wherever_they_stand() {
        let mut fields = Fields::default();
        let good_then_bad = (0..500).map(|place| if place < 300 { Given::Whole(1) } else { Given::Null });
        let read = |fields: &mut Fields, given| fields.whole("pid", given, 100);
        fields.list("processes", GivenList(Some(good_then_bad.collect())), read);
        let faults = fields.faults().unwrap();
        let told = faults["processes"].as_array().unwrap();
        assert_eq!((told.len(), &told[299]), (400, &json!({})));
        assert!(told[300..].iter().all(|fault| fault["pid"].is_array()));
    }

    #[test]
    fn faults_name_the_field_as_the_older_systems_do() {
        let mut fields = Fields::default();
        let post: Post = serde_json::from_str(r#"{"name": " ", "processes": [1, "x", null]}"#).unwrap();
        fields.text("name", post.name, 10);
        let read = |fields: &mut Fields, given| fields.whole("pid", given, 100);
        assert_eq!(fields.list("processes", post.processes, read), [1, 0, 0]);
        fields.number("cpu", Given::Flag(true));
        fields.text("cmdline", Given::Absent, 5);
        assert_eq!(
            fields.faults().unwrap(),
            json!({
                "name": ["This field may not be blank."],
                "processes": [{}, {"pid": ["A valid integer is required."]}, {"pid": ["This field is required."]}],
                "cpu": ["A valid number is required."],
                "cmdline": ["This field is required."],
            })
        );
    }
}
