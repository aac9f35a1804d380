//! Who may sign requests, and what they are.

use super::vault::Vault;
use crate::clock::wall_ms;
use crate::data_dir::KeyFile;
use control::{Caller, Principal};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use wire::Fault;
use wire::http::{HttpRequest, Service};
use wire::sigv4::{self, Key, Secret, SigningKeys};

/// Where requests to services are signed that are nowhere in particular.
const GLOBAL_REGION: &str = "us-east-1";

/// The keys of a deployment.
pub struct Keys {
    region: String,
    known: HashMap<String, (Key, Principal)>,
    signing: Mutex<SigningKeys>,
    /// What seals values.
    pub vault: Vault,
}

impl Keys {
    /// The operator's key, the nodes', and that of values.
    pub fn new(operator: &KeyFile, node: &KeyFile, region: String, vault: Vault) -> Self {
        let entry = |file: &KeyFile, principal| (file.access_key_id.clone(), (key(file), principal));
        let known = [entry(node, Principal::Node), entry(operator, Principal::Operator)].into();
        Self { region, known, signing: Mutex::new(SigningKeys::default()), vault }
    }

    /// Who signed `request`, for which service.
    pub fn verify(&self, request: &HttpRequest<'_>, service: Service) -> Result<Caller, Fault> {
        let lookup = |access_key: &str| self.known.get(access_key).map(|(key, _)| key.clone());
        let verified = {
            let mut signing = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
            sigv4::verify(request, wall_ms() / 1000, &lookup, &mut signing)?
        };
        let global = service.is_global() && verified.region == GLOBAL_REGION;
        verified.scoped_to(if global { GLOBAL_REGION } else { &self.region }, service.signing_name())?;
        let principal = self.known.get(&verified.access_key).map_or(Principal::Node, |(_, principal)| *principal);
        Ok(Caller { principal, access_key: verified.access_key })
    }
}

/// A key as signatures take it.
pub fn key(file: &KeyFile) -> Key {
    Key {
        access_key: file.access_key_id.clone(),
        secret: Secret::new(file.secret_access_key.clone()),
        session_token: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::http::Header;

    #[test]
    fn iam_is_signed_for_us_east_1_wherever_a_deployment_is() {
        let file = |id: &str| KeyFile { access_key_id: id.to_owned(), secret_access_key: "x".repeat(40) };
        let (operator, vault) = (file("GKone"), Vault::new(b"one").unwrap());
        let keys = Keys::new(&operator, &file("GKtwo"), "eu-west-1".to_owned(), vault);
        let may = |region: &str, service: Service| {
            let host: [Header; 1] = [("host".into(), "localhost".into())];
            let plain = HttpRequest { method: "POST", path: "/", query: "", headers: &host, body: b"" };
            let now = wall_ms() / 1000;
            let added = sigv4::sign(&key(&operator), region, service.signing_name(), now, &plain);
            let headers: Vec<Header> = host.iter().cloned().chain(added).collect();
            keys.verify(&HttpRequest { headers: &headers, ..plain }, service).is_ok()
        };
        assert!(may("us-east-1", Service::Iam) && may("eu-west-1", Service::Iam) && !may("eu-west-2", Service::Iam));
        assert!(may("eu-west-1", Service::Ssm) && !may("us-east-1", Service::Ssm));
    }
}
