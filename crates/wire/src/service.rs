//! The macros that turn a generated table of operations into a service: its enums of operations, requests and responses, the
//! trait its handlers implement, and the dispatch between them. Nothing here knows a particular operation.

use std::borrow::Cow;

use crate::fault::Fault;

/// The fault of an operation that the service has and its handler does not.
pub(crate) fn not_supported(name: &str, declared: &[&str], code: &'static str) -> Fault {
    let unsupported = "UnsupportedFeatureException";
    let code = if declared.contains(&unsupported) { unsupported } else { code };
    let message = format!("{name} is not supported yet: this server does not implement the operation");
    Fault::new(Cow::Borrowed(code), 400, message)
}

/// Whether an operation may answer this fault. A service that declares none, as EC2, may answer any.
pub(crate) fn may_answer(declared: &[&str], fault: &Fault) -> bool {
    declared.is_empty() || declared.contains(&fault.code.as_ref()) || fault.is_common()
}

/// What every service has.
macro_rules! service {
    ($Handler:ident $prefix:literal $missing:literal;
     $($Operation:ident = $method:ident($Input:ident) -> $Output:ident, reads $reads:literal, faults [$($fault:literal),*];)*) => {
        /// An operation of the service.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation { $($Operation,)* }

        impl Operation {
            /// Every operation, by name.
            pub const ALL: &'static [Self] = &[$(Self::$Operation,)*];
            const NAMES: &'static [&'static str] = &[$(stringify!($Operation),)*];
            const FULL_NAMES: &'static [&'static str] = &[$(concat!($prefix, ":", stringify!($Operation)),)*];
            const FAULTS: &'static [&'static [&'static str]] = &[$(&[$($fault,)*],)*];
            const READS: &'static [bool] = &[$($reads,)*];

            /// The name on the wire.
            pub const fn name(self) -> &'static str {
                Self::NAMES[self as usize]
            }

            /// The name with the service before it, as policies write it.
            pub const fn full_name(self) -> &'static str {
                Self::FULL_NAMES[self as usize]
            }

            /// The operation with that name on the wire.
            pub fn from_name(name: &str) -> Option<Self> {
                // The table is sorted, see the test of this file.
                let at = Self::NAMES.binary_search(&name).ok()?;
                Self::ALL.get(at).copied()
            }

            /// The codes that the model declares for the operation.
            pub const fn declared_faults(self) -> &'static [&'static str] {
                Self::FAULTS[self as usize]
            }

            /// Whether the operation changes nothing.
            pub const fn is_read_only(self) -> bool {
                Self::READS[self as usize]
            }
        }

        impl std::fmt::Display for Operation {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.name())
            }
        }

        /// A request to the service.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Request { $($Operation(Box<$Input>),)* }

        impl Request {
            /// Which operation is asked for.
            pub const fn operation(&self) -> Operation {
                match self { $(Self::$Operation(_) => Operation::$Operation,)* }
            }
        }

        /// An answer of the service.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Response { $($Operation(Box<$Output>),)* }

        impl Response {
            /// Which operation was answered.
            pub const fn operation(&self) -> Operation {
                match self { $(Self::$Operation(_) => Operation::$Operation,)* }
            }
        }

        /// The fault of an operation without a handler.
        #[cold]
        pub fn not_supported(operation: Operation) -> $crate::Fault {
            $crate::service::not_supported(operation.name(), operation.declared_faults(), $missing)
        }

        /// Who answers the service's requests; an operation without a method of its own is not supported.
        pub trait $Handler<C> {
            $(
                #[doc = concat!("`", stringify!($Operation), "`")]
                fn $method(&mut self, _context: &C, _input: $Input) -> Result<$Output, $crate::Fault> {
                    Err(not_supported(Operation::$Operation))
                }
            )*
        }

        /// Hands a request to the method for it.
        pub fn dispatch<C, H: $Handler<C> + ?Sized>(
            handler: &mut H,
            context: &C,
            request: Request,
        ) -> Result<Response, $crate::Fault> {
            let operation = request.operation();
            let answer = match request {
                $(Request::$Operation(input) => handler
                    .$method(context, *input)
                    .map(|output| Response::$Operation(Box::new(output))),)*
            };
            if let Err(fault) = &answer {
                debug_assert!(
                    $crate::service::may_answer(operation.declared_faults(), fault),
                    "{operation} does not declare {}",
                    fault.code
                );
            }
            answer
        }
    };
}

/// A service of the JSON protocol: both sides can read and write.
macro_rules! json_service {
    ($Handler:ident $prefix:literal target $target:literal;
     $($Operation:ident = $method:ident($Input:ident) -> $Output:ident, reads $reads:literal, faults [$($fault:literal),*];)*) => {
        $crate::service::service! {
            $Handler $prefix "ClientException";
            $($Operation = $method($Input) -> $Output, reads $reads, faults [$($fault),*];)*
        }

        /// What stands before the operation in `X-Amz-Target`.
        pub const TARGET_PREFIX: &str = $target;

        impl Operation {
            const TARGETS: &'static [&'static str] = &[$(concat!($target, ".", stringify!($Operation)),)*];

            /// The value of `X-Amz-Target`.
            pub const fn target(self) -> &'static str {
                Self::TARGETS[self as usize]
            }
        }

        impl Request {
            /// Reads and checks the request of an operation.
            pub fn decode(operation: Operation, body: &[u8]) -> Result<Self, $crate::Fault> {
                Ok(match operation {
                    $(Operation::$Operation => {
                        Self::$Operation(Box::new($crate::FromJson::from_json_slice(body)?))
                    })*
                })
            }

            /// The request's body.
            pub fn to_json(&self) -> String {
                match self { $(Self::$Operation(input) => $crate::ToJson::to_json(&**input),)* }
            }
        }

        impl Response {
            /// Reads the answer of an operation.
            pub fn decode(operation: Operation, body: &[u8]) -> Result<Self, $crate::Fault> {
                Ok(match operation {
                    $(Operation::$Operation => {
                        Self::$Operation(Box::new($crate::FromJson::from_json_slice(body)?))
                    })*
                })
            }

            /// The answer's body.
            pub fn to_json(&self) -> String {
                match self { $(Self::$Operation(output) => $crate::ToJson::to_json(&**output),)* }
            }
        }

        $(
            impl From<$Input> for Request {
                fn from(input: $Input) -> Self {
                    Self::$Operation(Box::new(input))
                }
            }
        )*
    };
}

/// A service of a query protocol: the server's side only, form in and XML out.
macro_rules! query_service {
    ($Handler:ident $prefix:literal;
     $($Operation:ident = $method:ident($Input:ident) -> $Output:ident, reads $reads:literal, faults [$($fault:literal),*];)*) => {
        $crate::service::service! {
            $Handler $prefix "InvalidAction";
            $($Operation = $method($Input) -> $Output, reads $reads, faults [$($fault),*];)*
        }

        impl Request {
            /// Reads and checks the request of an operation.
            pub fn decode(
                operation: Operation,
                params: &$crate::query::Params,
            ) -> Result<Self, $crate::Fault> {
                Ok(match operation {
                    $(Operation::$Operation => {
                        Self::$Operation(Box::new($crate::query::read(params)?))
                    })*
                })
            }
        }

        impl Response {
            /// Writes the members of the answer.
            pub fn write_xml(&self, out: &mut $crate::xml::XmlWriter) {
                match self { $(Self::$Operation(output) => $crate::xml::ToXml::write_xml(&**output, out),)* }
            }
        }
    };
}

pub(crate) use {json_service, query_service, service};
