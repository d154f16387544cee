//! How the structs of `data` read and write their fields.

use jiff::Timestamp;
use serde::ser::SerializeMap;
use serde_json::value::RawValue;

use crate::event::json;
use crate::event::raw::{Extra, RawData};

/// Built from an event's `data`; `None` when `data` does not fit.
///
/// Deliberately not `serde::Deserialize`: a web framework's JSON extractor must not be able
/// to make a payload out of an unverified body.
pub(super) trait FromData: Sized {
    fn from_data(data: &RawData) -> Option<Self>;
}

/// A kind of value that a field can hold.
pub(in crate::event) trait Value: Sized {
    /// `None` when the JSON text is another kind of value.
    fn read(text: &str) -> Option<Self>;
}

impl Value for String {
    fn read(text: &str) -> Option<Self> {
        json::string(text).map(String::from)
    }
}

impl Value for u64 {
    fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Value for f64 {
    fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Value for Timestamp {
    fn read(text: &str) -> Option<Self> {
        json::string(text)?.parse().ok()
    }
}

/// A field of a struct: `T` is one that must be there, `Option<T>` one that may be missing.
pub(in crate::event) trait Field: Sized {
    /// What the field is when there is no value for it; `None` when there must be one.
    fn absent() -> Option<Self>;

    /// `None` when the JSON text is another kind of value.
    fn read(text: &str) -> Option<Self>;

    fn write<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error>;
}

impl<T: Value + serde::Serialize> Field for T {
    fn absent() -> Option<Self> {
        None
    }

    fn read(text: &str) -> Option<Self> {
        T::read(text)
    }

    fn write<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry(name, self)
    }
}

impl<T: Value + serde::Serialize> Field for Option<T> {
    fn absent() -> Option<Self> {
        Some(None)
    }

    fn read(text: &str) -> Option<Self> {
        if text == "null" { Some(None) } else { T::read(text).map(Some) }
    }

    fn write<M: SerializeMap>(&self, name: &'static str, map: &mut M) -> Result<(), M::Error> {
        match self {
            Some(value) => map.serialize_entry(name, value),
            None => Ok(()),
        }
    }
}

/// Takes the member `name` for the field in `slot`, or keeps it in `extra` when its shape
/// is another one. Called again for a name the sender repeated, it forgets the earlier
/// value.
pub(in crate::event) fn take<F: Field>(
    slot: &mut Option<F>,
    extra: &mut Extra,
    name: &str,
    value: &RawValue,
) {
    extra.remove(name);
    *slot = F::read(value.get());
    if slot.is_none() {
        *slot = F::absent();
        extra.insert(name, value);
    }
}

/// Defines a struct of `data`: its fields, and `extra` for every other member.
macro_rules! data_struct {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$field_doc:meta])* pub $field:ident: $kind:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
            /// Every other member of `data`, and those of the fields above whose value has
            /// another shape.
            pub extra: $crate::event::Extra,
        }

        impl $crate::event::payload::fields::FromData for $name {
            fn from_data(data: &$crate::event::RawData) -> Option<Self> {
                use $crate::event::payload::fields::{Field, take};

                $(let mut $field = <$kind as Field>::absent();)*
                let mut extra = $crate::event::Extra::default();
                // A missing or null `data` counts as an object without members.
                if data.as_str() != "null" {
                    $crate::event::json::members(data.as_str(), |name, value| match &*name {
                        $(stringify!($field) => take(&mut $field, &mut extra, &name, value),)*
                        _ => extra.insert(&name, value),
                    })
                    .ok()?;
                }
                Some(Self { $($field: $field?,)* extra })
            }
        }

        /// Writes the fields that have a value, then `extra`, as one object.
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap;
                use $crate::event::payload::fields::Field;

                let mut map = serializer.serialize_map(None)?;
                $(self.$field.write(stringify!($field), &mut map)?;)*
                for (name, value) in &self.extra {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    };
}

pub(super) use data_struct;
