//! The value of one field of any type, for code that treats all fields alike.

/// A value, borrowed from its record.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Value<'a> {
    /// The host could not read it, or it does not apply.
    #[default]
    Absent,
    /// A text.
    Text(&'a str),
    /// A single letter.
    Letter(char),
    /// A whole number; larger ones than `i64::MAX` are cut down to that, because SQL has no larger ones.
    Integer(i64),
    /// A number of single precision.
    Float(f32),
}

impl<'a> Value<'a> {
    /// As a number; `None` for texts, letters and absent values.
    pub fn number(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Float(value) => Some(f64::from(value)),
            Self::Absent | Self::Text(_) | Self::Letter(_) => None,
        }
    }

    /// As a text; `None` for everything else.
    pub fn text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As a whole number; `None` for everything else.
    pub fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(value),
            _ => None,
        }
    }
}

/// The type of a field of a record.
pub trait FieldValue: Sized {
    /// Its value.
    fn get(&self) -> Value<'_>;
    /// Replaces it. A value of another kind, or out of its range, makes it absent, or empty where it cannot be absent.
    fn set(&mut self, value: Value<'_>);
    /// Fills it in from `other` where it is absent.
    fn fill_in(&mut self, other: &Self);
    /// The value where a message lacks the field; `None` where a message must have it.
    fn absent() -> Option<Self>;
    /// Whether it can be stored: [`Value::Integer`] holds it whole.
    fn is_storable(&self) -> bool {
        true
    }
}

macro_rules! whole_numbers {
    ($($kind:ty),+) => {$(
        impl FieldValue for $kind {
            fn get(&self) -> Value<'_> {
                Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }

            fn set(&mut self, value: Value<'_>) {
                *self = value.integer().and_then(|value| Self::try_from(value).ok()).unwrap_or_default();
            }

            fn fill_in(&mut self, _: &Self) {}

            fn absent() -> Option<Self> {
                None
            }

            fn is_storable(&self) -> bool {
                i64::try_from(*self).is_ok()
            }
        }
    )+};
}

whole_numbers!(i8, i64, u32, u64);

/// Yes is 1, no is 0.
impl FieldValue for bool {
    fn get(&self) -> Value<'_> {
        Value::Integer((*self).into())
    }

    fn set(&mut self, value: Value<'_>) {
        *self = value == Value::Integer(1);
    }

    fn fill_in(&mut self, _: &Self) {}

    fn absent() -> Option<Self> {
        None
    }
}

impl FieldValue for f32 {
    fn get(&self) -> Value<'_> {
        Value::Float(*self)
    }

    fn set(&mut self, value: Value<'_>) {
        *self = match value {
            Value::Float(value) => value,
            _ => 0.0,
        };
    }

    fn fill_in(&mut self, _: &Self) {}

    fn absent() -> Option<Self> {
        None
    }
}

impl FieldValue for char {
    fn get(&self) -> Value<'_> {
        Value::Letter(*self)
    }

    fn set(&mut self, value: Value<'_>) {
        *self = match value {
            Value::Letter(letter) => letter,
            Value::Text(text) => text.chars().next().unwrap_or('?'),
            _ => '?',
        };
    }

    fn fill_in(&mut self, _: &Self) {}

    fn absent() -> Option<Self> {
        None
    }
}

impl FieldValue for String {
    fn get(&self) -> Value<'_> {
        Value::Text(self)
    }

    fn set(&mut self, value: Value<'_>) {
        self.clear();
        self.push_str(value.text().unwrap_or_default());
    }

    fn fill_in(&mut self, _: &Self) {}

    fn absent() -> Option<Self> {
        None
    }
}

impl<T: FieldValue + Default + Clone> FieldValue for Option<T> {
    fn get(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Absent, T::get)
    }

    fn set(&mut self, value: Value<'_>) {
        let mut inner = T::default();
        inner.set(value);
        // A value that did not fit has become another one.
        *self = (inner.get() == value).then_some(inner);
    }

    fn fill_in(&mut self, other: &Self) {
        if self.is_none() {
            self.clone_from(other);
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_storable(&self) -> bool {
        self.as_ref().is_none_or(T::is_storable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back<T: FieldValue + Clone>(mut slot: T, value: T) -> T {
        slot.set(value.get());
        slot
    }

    #[test]
    fn what_is_set_from_a_value_is_that_value() {
        assert_eq!(read_back(0_u32, 7), 7);
        assert_eq!(read_back(String::from("old"), "new".to_owned()), "new");
        assert_eq!(read_back('?', 'S'), 'S');
        assert_eq!(read_back(None, Some(2.5_f32)), Some(2.5));
        assert_eq!(read_back(Some(1_u64), None), None);
        assert_eq!(read_back(None, Some(-20_i8)), Some(-20));
        assert_eq!((read_back(None, Some(true)), read_back(None, Some(false))), (Some(true), Some(false)));
    }

    #[test]
    fn a_value_that_does_not_fit_is_absent() {
        let mut threads = Some(1_u32);
        threads.set(Value::Integer(-1));
        assert_eq!(threads, None);
        let mut name = Some("x".to_owned());
        name.set(Value::Integer(1));
        assert_eq!(name, None);
        let mut flag = Some(true);
        flag.set(Value::Integer(2));
        assert_eq!(flag, None);
        assert!(!Some(u64::MAX).is_storable() && Some(i64::MAX as u64).is_storable());
    }

    #[test]
    fn only_what_is_absent_is_filled_in() {
        let (mut absent, mut known) = (None, Some(1_u32));
        absent.fill_in(&Some(2_u32));
        known.fill_in(&Some(2));
        assert_eq!((absent, known), (Some(2), Some(1)));
    }
}
