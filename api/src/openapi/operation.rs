//! Reads the description of a route from its handler's signature.

use axum::{
    Extension,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, Uri},
};
use fleetps_nats::signed::SignedRequest;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::Value as Json;

use crate::{
    answer::{Answers, Described},
    auth::{ClientInfo, Person, Principal},
    extract::{
        AlertId, ChannelId, CommandPath, DeliveryId, Host, JsonBody, JsonShape, ProcessPath, Query, RuleId,
        SilenceId, UnitPath,
    },
    query::{Parameter, Parameters},
    scoped_fleet::ScopedFleet,
    state::AppState,
};

/// What a handler takes from a request.
#[derive(Debug, Clone, Default)]
pub struct Takes {
    /// Parameters of the query.
    pub query: Vec<Parameter>,
    /// Parameters of the path.
    pub path: Vec<Parameter>,
    /// Media types of the body with the schema of each; none where it reads no body.
    pub body: Vec<(&'static str, Json)>,
    /// Whether it looks at hosts, so that the history may be asked.
    pub looks_at_hosts: bool,
}

/// An argument of a handler that is described.
pub trait Argument {
    /// Adds what it takes.
    fn describe(_takes: &mut Takes) {}
}

impl<Q: Parameters> Argument for Query<Q> {
    fn describe(takes: &mut Takes) {
        takes.query.extend(Q::parameters());
    }
}

impl Argument for Host {
    fn describe(takes: &mut Takes) {
        takes.path.push(Parameter::of("host", "The name of the host.", |host: &Self| &host.0));
    }
}

impl Argument for ProcessPath {
    fn describe(takes: &mut Takes) {
        takes.path.push(Parameter::of("host", "The name of the host.", |path: &Self| &path.host));
        takes.path.push(Parameter::of("pid", "The process id.", |path: &Self| &path.pid));
    }
}

impl Argument for UnitPath {
    fn describe(takes: &mut Takes) {
        takes.path.push(Parameter::of("host", "The name of the host.", |path: &Self| &path.host));
        takes.path.push(Parameter::of("unit", "The unit, as in nginx.service.", |path: &Self| &path.unit));
    }
}

/// Ids in the path.
macro_rules! ids {
    ($($name:ident: $about:literal),+) => {
        $(impl Argument for $name {
            fn describe(takes: &mut Takes) {
                takes.path.push(Parameter::of("id", $about, |id: &Self| &id.0));
            }
        })+
    };
}

ids! {
    RuleId: "The id of the rule.",
    ChannelId: "The id of the channel.",
    DeliveryId: "The id of the delivery.",
    SilenceId: "The id of the silence.",
    AlertId: "The id of the alert."
}

impl<T: JsonShape> Argument for JsonBody<T> {
    fn describe(takes: &mut Takes) {
        // It stands alone in the document, so nothing in it can point elsewhere.
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let schema = settings.into_generator().into_root_schema_for::<T>();
        takes.body = vec![("application/json", schema.to_value())];
    }
}

impl Argument for CommandPath {
    fn describe(takes: &mut Takes) {
        takes.path.push(Parameter::of("id", "The id of the command, or of a plan.", |id: &Self| &id.0));
    }
}

impl Argument for ScopedFleet {
    fn describe(takes: &mut Takes) {
        takes.looks_at_hosts = true;
    }
}

impl Argument for Person {}
impl Argument for HeaderMap {}
impl Argument for State<AppState> {}
impl Argument for Option<Extension<Principal>> {}
impl Argument for Option<Extension<SignedRequest>> {}
impl Argument for Extension<ClientInfo> {}
impl Argument for Uri {}
// What their body is, the route says.
impl Argument for Request {}
impl Argument for Bytes {}

/// A handler whose description is in its signature; `T` are its arguments, as for [`axum::handler::Handler`].
pub trait Describe<T> {
    /// What it takes.
    fn takes() -> Takes;
    /// What it answers.
    fn answers(generator: &mut SchemaGenerator) -> Vec<Described>;
}

impl<F, Fut> Describe<((),)> for F
where
    F: FnOnce() -> Fut,
    Fut: Future,
    Fut::Output: Answers,
{
    fn takes() -> Takes {
        Takes::default()
    }

    fn answers(generator: &mut SchemaGenerator) -> Vec<Described> {
        Fut::Output::describe(generator)
    }
}

macro_rules! describe {
    ($($argument:ident),+) => {
        impl<F, Fut, M, $($argument),+> Describe<(M, $($argument,)+)> for F
        where
            F: FnOnce($($argument),+) -> Fut,
            Fut: Future,
            Fut::Output: Answers,
            $($argument: Argument,)+
        {
            fn takes() -> Takes {
                let mut takes = Takes::default();
                $($argument::describe(&mut takes);)+
                takes
            }

            fn answers(generator: &mut SchemaGenerator) -> Vec<Described> {
                Fut::Output::describe(generator)
            }
        }
    };
}

describe!(A);
describe!(A, B);
describe!(A, B, C);
describe!(A, B, C, D);
describe!(A, B, C, D, E);
describe!(A, B, C, D, E, G);

/// The description of a route, without its address and policy.
#[derive(Clone)]
pub struct Operation {
    /// What it is for, in a line.
    pub summary: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What it answers.
    pub answers: fn(&mut SchemaGenerator) -> Vec<Described>,
}

impl Operation {
    /// The description of a handler.
    pub fn of<T, H: Describe<T>>(summary: &'static str, _handler: &H) -> Self {
        Self { summary, takes: H::takes(), answers: H::answers }
    }
}

/// The name of an operation in programs that are made from the document, as in `get_hosts_host_processes`.
pub(super) fn id(method: &Method, path: &str) -> String {
    let words = path.strip_prefix("/api/v1").unwrap_or(path);
    let words = words.split(|character: char| !character.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    format!("{}_{}", method.as_str().to_ascii_lowercase(), words.join("_"))
}
