//! The macros that turn the generated tables into types. A row of a table is written once and gives the field, how it is read,
//! what limits it and how it is written, so that these cannot disagree. Nothing here knows a particular shape.

/// An enum whose values all have a name on the wire. The first value is the default, since structures have one.
macro_rules! closed_enum {
    (pub enum $name:ident { $first:ident = $first_wire:literal, $($variant:ident = $wire:literal,)* }) => {
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { #[default] $first, $($variant,)* }

        impl $crate::ClosedEnum for $name {
            const ALL: &'static [Self] = &[Self::$first, $(Self::$variant,)*];
            const NAMES: &'static [&'static str] = &[$first_wire, $($wire,)*];

            fn index(self) -> usize {
                self as usize
            }
        }

        impl $name {
            /// Every value, in the order of the model.
            pub const ALL: &'static [Self] = <Self as $crate::ClosedEnum>::ALL;

            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                <Self as $crate::ClosedEnum>::NAMES[self as usize]
            }

            /// The value with that name on the wire.
            pub fn from_wire(name: &str) -> Option<Self> {
                <Self as $crate::ClosedEnum>::find(name)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.as_str())
            }
        }
    };
}

/// A structure of a JSON protocol, read and written.
macro_rules! structure {
    ($(#[$attribute:meta])* pub struct $name:ident {
        $(pub $field:ident: $type:ty = $kind:ident($wire:literal $(, $limit:path)?),)*
    }) => {
        #[derive(Clone, Default, PartialEq)]
        $(#[$attribute])*
        pub struct $name { $(pub $field: $type,)* }

        impl $crate::FromJson for $name {
            fn from_json(
                value: &serde_json::Value,
                at: &$crate::Path<'_>,
            ) -> Result<Self, $crate::Fault> {
                let _members = $crate::json::Members::of(value, at)?;
                Ok(Self { $($field: _members.$kind($wire $(, $limit)?)?,)* })
            }
        }

        impl $crate::ToJson for $name {
            fn write_json(&self, out: &mut $crate::JsonWriter) {
                out.open_object();
                $(out.$kind($wire, &self.$field);)*
                out.close_object();
            }
        }
    };
}

/// A structure that requests of a query protocol hold.
macro_rules! query_structure {
    ($(#[$attribute:meta])* pub struct $name:ident {
        $(pub $field:ident: $type:ty = $kind:ident($wire:literal $(, $limit:path)?),)*
    }) => {
        #[derive(Clone, Default, PartialEq)]
        $(#[$attribute])*
        pub struct $name { $(pub $field: $type,)* }

        impl $crate::query::FromQuery for $name {
            fn from_query(
                params: &$crate::query::Params,
                name: &str,
            ) -> Result<Option<Self>, $crate::Fault> {
                let Some(_members) = params.members(name) else {
                    return Ok(None);
                };
                Ok(Some(Self { $($field: _members.$kind($wire $(, $limit)?)?,)* }))
            }
        }
    };
}

/// A structure that answers of a query protocol hold.
macro_rules! xml_structure {
    ($(#[$attribute:meta])* pub struct $name:ident {
        $(pub $field:ident: $type:ty = $kind:ident($wire:literal $(, $limit:path)?),)*
    }) => {
        #[derive(Clone, Default, PartialEq)]
        $(#[$attribute])*
        pub struct $name { $(pub $field: $type,)* }

        impl $crate::xml::ToXml for $name {
            fn write_xml(&self, _out: &mut $crate::xml::XmlWriter) {
                $(_out.$kind($wire, &self.$field);)*
            }
        }
    };
}

/// A structure that both hold; its limits are those of requests.
macro_rules! query_and_xml_structure {
    ($(#[$attribute:meta])* pub struct $name:ident {
        $(pub $field:ident: $type:ty = $kind:ident($wire:literal $(, $limit:path)?),)*
    }) => {
        $crate::tables::query_structure! {
            $(#[$attribute])*
            pub struct $name { $(pub $field: $type = $kind($wire $(, $limit)?),)* }
        }

        impl $crate::xml::ToXml for $name {
            fn write_xml(&self, out: &mut $crate::xml::XmlWriter) {
                $(out.$kind($wire, &self.$field);)*
            }
        }
    };
}

/// The `Debug` of a structure with secrets: they are never printed, and neither is whether they are there.
macro_rules! masked_debug {
    ($name:ident shows [$($shown:ident)*] hides [$($hidden:ident)*]) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.debug_struct(stringify!($name))
                    $(.field(stringify!($shown), &self.$shown))*
                    $(.field(stringify!($hidden), &format_args!("***")))*
                    .finish()
            }
        }
    };
}

pub(crate) use {closed_enum, masked_debug, query_and_xml_structure, query_structure, structure, xml_structure};
