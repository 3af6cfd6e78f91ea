//! Makes a struct and the list of its fields from one declaration.

/// `record! { /// Docs. Name, LIST { /// Docs. field: Type => declaration; … } }` makes the struct and the constant `LIST`
/// of its [`Field`](super::Field)s in the same order, by whose places values are read and set. With `columns from first`
/// after the list's name, a list of such records also travels as columns, and `first` says how many there are.
macro_rules! record {
    (
        $(#[$about:meta])*
        $name:ident, $list:ident columns from $first:ident {
            $($(#[$doc:meta])* $field:ident: $kind:ty => $declared:expr;)+
        }
    ) => {
        $crate::model::record::record! {
            $(#[$about])*
            $name, $list { $($(#[$doc])* $field: $kind => $declared;)+ }
        }
        $crate::model::columns::wire_columns! { $name, $list, $first { $($field: $kind;)+ } }
    };
    (
        $(#[$about:meta])*
        $name:ident, $list:ident {
            $($(#[$doc:meta])* $field:ident: $kind:ty => $declared:expr;)+
        }
    ) => {
        $(#[$about])*
        pub struct $name {
            $($(#[$doc])* pub $field: $kind,)+
        }

        #[doc = concat!("The fields of [`", stringify!($name), "`], in its order.")]
        pub const $list: [$crate::model::Field; [$(stringify!($field)),+].len()] =
            [$($declared.named(stringify!($field))),+];

        impl $name {
            #[doc = concat!("Its values, in the order of [`", stringify!($list), "`].")]
            pub fn values(&self) -> [$crate::model::Value<'_>; $list.len()] {
                [$($crate::model::FieldValue::get(&self.$field)),+]
            }

            /// The value of the field at `place` in the list; absent where there is none.
            pub fn value(&self, place: usize) -> $crate::model::Value<'_> {
                let readers: [fn(&Self) -> $crate::model::Value<'_>; $list.len()] =
                    [$(|record| $crate::model::FieldValue::get(&record.$field)),+];
                readers.get(place).map_or($crate::model::Value::Absent, |read| read(self))
            }

            /// Sets the field at `place` in the list.
            pub fn set(&mut self, place: usize, value: $crate::model::Value<'_>) {
                let setters: [fn(&mut Self, $crate::model::Value<'_>); $list.len()] =
                    [$(|record, value| $crate::model::FieldValue::set(&mut record.$field, value)),+];
                if let Some(set) = setters.get(place) {
                    set(self, value);
                }
            }

            /// Fills in absent fields from `other`.
            pub fn fill_in(&mut self, other: &Self) {
                $($crate::model::FieldValue::fill_in(&mut self.$field, &other.$field);)+
            }

            /// The first field that is too large to be stored.
            pub fn too_large(&self) -> Option<&'static str> {
                [$((stringify!($field), $crate::model::FieldValue::is_storable(&self.$field))),+]
                    .into_iter()
                    .find_map(|(name, fits)| (!fits).then_some(name))
            }
        }
    };
}

pub(super) use record;
