//! Values of parameters and secrets. A value is sealed before the control plane sees the request, and opened in the answer:
//! what decides, what is stored and what is told of the past hold sealed bytes only. The key is a file of the data directory.

use super::core::Handle;
use crate::data_dir::{self, DataDir};
use anyhow::{Result, anyhow};
use control::Caller;
use model::ids::Uuid;
use model::sealed::Sealed;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use std::time::Instant;
use wire::http::{Answer, Call};
use wire::{Fault, secretsmanager as secrets, ssm};

/// The key's file. It has the form of the other keys; only the secret in it is used.
pub const KEY: &str = "secrets.json";
/// Bytes of a binary secret.
const BINARY_MAX: usize = 65_536;

/// Seals and opens.
pub struct Vault {
    key: LessSafeKey,
    digests: hmac::Key,
}

/// What a client wants to be done with the answer.
enum Wish {
    /// Values of secure strings stay sealed.
    Sealed,
    /// Everything is opened.
    Opened,
    /// A password.
    Password(Box<secrets::GetRandomPasswordRequest>),
}

impl Vault {
    /// With the key of a deployment, made at the first start.
    pub fn open(data_dir: &DataDir) -> Result<Self> {
        Self::new(data_dir.key_or_new(KEY)?.secret_access_key.as_bytes())
    }

    pub(super) fn new(secret: &[u8]) -> Result<Self> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = |purpose: &str| hmac::sign(&root, purpose.as_bytes());
        let key = UnboundKey::new(&AES_256_GCM, derived("gantry values").as_ref());
        let key = LessSafeKey::new(key.map_err(|_| anyhow!("{KEY} holds no usable key"))?);
        Ok(Self { key, digests: hmac::Key::new(hmac::HMAC_SHA256, derived("gantry digests").as_ref()) })
    }

    /// Decides a request to Systems Manager or Secrets Manager.
    pub async fn answer(
        &self,
        core: &Handle,
        caller: Caller,
        mut call: Call,
        received: Instant,
    ) -> Result<Answer, Fault> {
        let wish = self.take(&mut call)?;
        let answer = core.request(caller, call, received).await?;
        self.give(answer, &wish)
    }

    /// Seals the values of a request.
    fn take(&self, call: &mut Call) -> Result<Wish, Fault> {
        let wish = |opened: Option<bool>| if opened == Some(true) { Wish::Opened } else { Wish::Sealed };
        Ok(match call {
            Call::Ssm(ssm::Request::PutParameter(input)) => {
                check_parameter(&input.value)?;
                input.value = self.seal(&parameter(&input.name), &input.value)?;
                Wish::Sealed
            }
            Call::Ssm(ssm::Request::GetParameter(input)) => wish(input.with_decryption),
            Call::Ssm(ssm::Request::GetParameters(input)) => wish(input.with_decryption),
            Call::Ssm(ssm::Request::GetParametersByPath(input)) => wish(input.with_decryption),
            Call::Ssm(ssm::Request::GetParameterHistory(input)) => wish(input.with_decryption),
            Call::SecretsManager(request) => {
                match request {
                    secrets::Request::CreateSecret(input) => self.seal_secret(
                        &mut input.client_request_token,
                        (&mut input.secret_string, &mut input.secret_binary),
                    )?,
                    secrets::Request::PutSecretValue(input) => self.seal_secret(
                        &mut input.client_request_token,
                        (&mut input.secret_string, &mut input.secret_binary),
                    )?,
                    secrets::Request::UpdateSecret(input) => self.seal_secret(
                        &mut input.client_request_token,
                        (&mut input.secret_string, &mut input.secret_binary),
                    )?,
                    secrets::Request::GetRandomPassword(input) => return Ok(Wish::Password(input.clone())),
                    _ => {}
                }
                Wish::Opened
            }
            _ => Wish::Sealed,
        })
    }

    /// A version of a secret is named by the request's token; where there is none, one is made.
    fn seal_secret(
        &self,
        token: &mut Option<String>,
        (text, binary): (&mut Option<String>, &mut Option<String>),
    ) -> Result<(), Fault> {
        let id = match token {
            Some(token) => token.clone(),
            None => token.insert(Uuid(random()?).dashed()).clone(),
        };
        if let Some(bytes) = binary {
            check_binary(bytes)?;
        }
        for value in [text, binary].into_iter().flatten() {
            *value = self.seal(&secret(&id), value)?;
        }
        Ok(())
    }

    /// Opens the values of an answer.
    fn give(&self, mut answer: Answer, wish: &Wish) -> Result<Answer, Fault> {
        let open = |kind: Option<ssm::ParameterType>, name: &Option<String>, value: &mut Option<String>| {
            let stays = kind == Some(ssm::ParameterType::SecureString) && matches!(wish, Wish::Sealed);
            match value {
                Some(text) if !stays => self.open_in(&parameter(name.as_deref().unwrap_or_default()), text),
                _ => Ok(()),
            }
        };
        match &mut answer {
            Answer::Ssm(ssm::Response::GetParameter(output)) => {
                output.parameter.iter_mut().try_for_each(|one| open(one.r#type, &one.name, &mut one.value))?;
            }
            Answer::Ssm(ssm::Response::GetParameters(output)) => {
                let mut all = output.parameters.iter_mut().flatten();
                all.try_for_each(|one| open(one.r#type, &one.name, &mut one.value))?;
            }
            Answer::Ssm(ssm::Response::GetParametersByPath(output)) => {
                let mut all = output.parameters.iter_mut().flatten();
                all.try_for_each(|one| open(one.r#type, &one.name, &mut one.value))?;
            }
            Answer::Ssm(ssm::Response::GetParameterHistory(output)) => {
                let mut all = output.parameters.iter_mut().flatten();
                all.try_for_each(|one| open(one.r#type, &one.name, &mut one.value))?;
            }
            Answer::SecretsManager(secrets::Response::GetSecretValue(output)) => {
                let name = secret(output.version_id.as_deref().unwrap_or_default());
                let mut values = [&mut output.secret_string, &mut output.secret_binary].into_iter().flatten();
                values.try_for_each(|value| self.open_in(&name, value))?;
            }
            Answer::SecretsManager(secrets::Response::GetRandomPassword(output)) => {
                if let Wish::Password(asked) = wish {
                    output.random_password = Some(password(asked)?);
                }
            }
            _ => {}
        }
        Ok(answer)
    }

    /// Seals a value under a name: it opens under that name only.
    fn seal(&self, name: &str, value: &str) -> Result<String, Fault> {
        let failed = || fault("The value could not be sealed.");
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut bytes = value.as_bytes().to_vec();
        let sealed = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(sealed, Aad::from(name), &mut bytes).map_err(|_| failed())?;
        let full = hmac::sign(&self.digests, &[name.as_bytes(), b"\0", value.as_bytes()].concat());
        let mut digest = [0; 16];
        digest.copy_from_slice(&full.as_ref()[..16]);
        Ok(Sealed::new(&digest, &[&nonce[..], &bytes].concat()).as_str().to_owned())
    }

    fn open_in(&self, name: &str, value: &mut String) -> Result<(), Fault> {
        *value = self.unseal(name, value).ok_or_else(|| {
            fault("The value was sealed with another key: secrets.json of the data directory is not the one it was made with.")
        })?;
        Ok(())
    }

    fn unseal(&self, name: &str, text: &str) -> Option<String> {
        let mut bytes = Sealed::parse(text)?.bytes();
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, Aad::from(name), sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

fn parameter(name: &str) -> String {
    format!("ssm\0{name}")
}

fn secret(version: &str) -> String {
    format!("secretsmanager\0{version}")
}

fn fault(message: &str) -> Fault {
    Fault::new("InternalFailure", 500, message)
}

fn random<const N: usize>() -> Result<[u8; N], Fault> {
    data_dir::random().map_err(|_| fault("There is no entropy."))
}

/// What the control plane cannot see of a value it only holds sealed.
fn check_parameter(value: &str) -> Result<(), Fault> {
    if value.is_empty() {
        return Err(Fault::new("ValidationException", 400, "Value: a parameter has at least one character."));
    }
    if value.contains("{{") {
        let message = "Parameter value can't nest another parameter: {{ is not allowed.";
        return Err(Fault::new("ValidationException", 400, message));
    }
    Ok(())
}

fn check_binary(text: &str) -> Result<(), Fault> {
    let symbols = text.trim_end_matches('=');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    if !text.len().is_multiple_of(4) || text.len() - symbols.len() > 2 || !symbols.bytes().all(plain) {
        return Err(Fault::serialization("SecretBinary: expected base64"));
    }
    let size = symbols.len() * 3 / 4;
    if !(1..=BINARY_MAX).contains(&size) {
        let message = format!("SecretBinary: the number of bytes must be between 1 and {BINARY_MAX}, got {size}");
        return Err(Fault::invalid_parameter(message));
    }
    Ok(())
}

/// A password of the kinds of characters asked for, each of them at least once unless that is not wanted.
fn password(asked: &secrets::GetRandomPasswordRequest) -> Result<String, Fault> {
    const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    let length = usize::try_from(asked.password_length.unwrap_or(32)).unwrap_or(0);
    let excluded = asked.exclude_characters.as_deref().unwrap_or_default();
    let kinds = [
        ("abcdefghijklmnopqrstuvwxyz", asked.exclude_lowercase != Some(true)),
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", asked.exclude_uppercase != Some(true)),
        ("0123456789", asked.exclude_numbers != Some(true)),
        (PUNCTUATION, asked.exclude_punctuation != Some(true)),
        (" ", asked.include_space == Some(true)),
    ];
    let kept = |text: &str| text.chars().filter(|letter| !excluded.contains(*letter)).collect::<Vec<char>>();
    let kinds: Vec<Vec<char>> = kinds.iter().filter(|(_, wanted)| *wanted).map(|(text, _)| kept(text)).collect();
    let kinds: Vec<Vec<char>> = kinds.into_iter().filter(|kind| !kind.is_empty()).collect();
    let all: Vec<char> = kinds.iter().flatten().copied().collect();
    let each = asked.require_each_included_type != Some(false);
    if all.is_empty() || length == 0 || (each && length < kinds.len()) {
        let message =
            "The password length is too short, or no characters are left, for the kinds of characters asked for.";
        return Err(Fault::invalid_parameter(message));
    }
    let mut letters = Vec::with_capacity(length);
    for kind in kinds.iter().filter(|_| each) {
        letters.push(kind[below(kind.len())?]);
    }
    while letters.len() < length {
        letters.push(all[below(all.len())?]);
    }
    for at in (1..letters.len()).rev() {
        letters.swap(at, below(at + 1)?);
    }
    Ok(letters.into_iter().collect())
}

/// A fair number below `end`.
fn below(end: usize) -> Result<usize, Fault> {
    let end = u64::try_from(end).unwrap_or(1);
    loop {
        let drawn = u64::from_le_bytes(random()?);
        // The last, incomplete round of the range would favour small numbers.
        if drawn < u64::MAX - u64::MAX % end {
            return Ok(usize::try_from(drawn % end).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_opens_with_its_key_under_its_name_only() {
        let (vault, other) = (Vault::new(b"one").unwrap(), Vault::new(b"two").unwrap());
        let sealed = vault.seal("a", "hünter2").unwrap();
        assert_eq!(vault.unseal("a", &sealed).as_deref(), Some("hünter2"));
        assert_eq!((vault.unseal("b", &sealed), other.unseal("a", &sealed)), (None, None));
        let again = vault.seal("a", "hünter2").unwrap();
        let (one, two) = (Sealed::parse(&sealed).unwrap(), Sealed::parse(&again).unwrap());
        assert!(one != two && one.is_same(&two) && one.plain_len() == "hünter2".len());
        assert!(!one.is_same(&Sealed::parse(&vault.seal("a", "hünter3").unwrap()).unwrap()));
        let mut broken = sealed.clone();
        let last = if broken.pop() == Some('0') { '1' } else { '0' };
        broken.push(last);
        assert_eq!(vault.unseal("a", &broken), None);
    }

    #[test]
    fn passwords_have_what_was_asked_for() {
        let asked = |length, excluded: &str| secrets::GetRandomPasswordRequest {
            password_length: Some(length),
            exclude_characters: Some(excluded.to_owned()),
            exclude_punctuation: Some(true),
            ..Default::default()
        };
        for _ in 0..50 {
            let made = password(&asked(3, "abc")).unwrap();
            let has = |kind: fn(&char) -> bool| made.chars().any(|letter| kind(&letter));
            assert!(made.len() == 3 && !made.contains(['a', 'b', 'c']), "{made}");
            assert!(has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase) && has(char::is_ascii_digit));
        }
        assert!(password(&asked(2, "")).is_err());
        assert_ne!(password(&asked(40, "")).unwrap(), password(&asked(40, "")).unwrap());
    }

    #[test]
    fn binary_values_are_base64() {
        assert!(check_binary("AAEC").is_ok() && check_binary("AA==").is_ok());
        for bad in ["", "A", "AAA", "A===", "AA=A", "é==="] {
            assert!(check_binary(bad).is_err(), "{bad}");
        }
    }
}
