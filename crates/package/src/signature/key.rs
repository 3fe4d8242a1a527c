//! Keys: ECDSA over P-256 with SHA-256, in PEM files of openssl and cosign.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, anyhow, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};

use crate::signature::cosign_key;

/// The first bytes of the SubjectPublicKeyInfo of a P-256 key, before the 65 bytes of the point (RFC 5480).
const SPKI_P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// The prefix of a key in a variable.
const VARIABLE_PREFIX: &str = "env:";
/// Maximum bytes of a key's text; real keys have less than a thousand.
const MAX_KEY_BYTES: u64 = 1 << 16;

/// Reads the text of a key from a file, or from a variable for `env:VARIABLE`.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn read_key(named: &str) -> anyhow::Result<String> {
    if let Some(variable) = named.strip_prefix(VARIABLE_PREFIX) {
        return cli::variable(variable).with_context(|| format!("--key {named}: the variable is not set"));
    }
    // a pipe works, too: another program may provide the key
    let mut text = String::new();
    let read = File::open(named).and_then(|file| file.take(MAX_KEY_BYTES + 1).read_to_string(&mut text));
    let read = read.with_context(|| format!("--key {named}: cannot read it"))?;
    ensure!(read as u64 <= MAX_KEY_BYTES, "--key {named}: has more than {MAX_KEY_BYTES} bytes and is no key");
    Ok(text)
}

/// The file of the key, if it is one.
pub(crate) fn file(named: &str) -> Option<&Path> {
    (!named.starts_with(VARIABLE_PREFIX)).then(|| Path::new(named))
}

/// A key for signing.
pub struct PrivateKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl PrivateKey {
    /// Reads PKCS#8, or cosign's encrypted key.
    ///
    /// # Errors
    /// If it is something else, or the password is missing or wrong.
    pub fn read(text: &str, password: Option<&str>) -> anyhow::Result<Self> {
        let (label, body) = pem(text)?;
        let pkcs8 = match label {
            "PRIVATE KEY" => body,
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                let password = password.context("is encrypted: set its password in COSIGN_PASSWORD")?;
                cosign_key::decrypt(&body, password.as_bytes())?
            }
            "PUBLIC KEY" => bail!("is the public key; the private one signs"),
            other => bail!("is of kind \"{other}\"; `openssl pkcs8 -topk8 -nocrypt -in KEY` converts it"),
        };
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random).map_err(|error| {
            anyhow!(
                "is no P-256 key ({error}); `openssl genpkey -algorithm EC -pkeyopt \
                                      ec_paramgen_curve:P-256` makes one"
            )
        })?;
        Ok(Self { pair, random })
    }

    /// The public key that verifies the signatures of this key.
    pub(crate) fn public(&self) -> PublicKey {
        let mut point = [0; 65];
        point.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(point)
    }

    /// The signature, in base64.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn sign(&self, message: &[u8]) -> anyhow::Result<String> {
        let signature =
            self.pair.sign(&self.random, message).map_err(|_| anyhow!("the system provides no random numbers"))?;
        Ok(STANDARD.encode(signature))
    }
}

/// A key for verification: a point on P-256.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicKey([u8; 65]);

impl PublicKey {
    /// Reads a key from a file or a variable.
    ///
    /// # Errors
    /// If it cannot be read, or is of another kind.
    pub(crate) fn open(named: &str) -> anyhow::Result<Self> {
        Self::read(&read_key(named)?).with_context(|| format!("--key {named}"))
    }

    /// Reads a key from the text of a PEM file.
    ///
    /// # Errors
    /// If it is of another kind.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let (label, body) = pem(text)?;
        ensure!(label == "PUBLIC KEY", "is of kind \"{label}\"; a signature is verified by the PUBLIC KEY");
        let point = body.strip_prefix(&SPKI_P256[..]).context("is no P-256 key")?;
        Ok(Self(point.try_into().map_err(|_| anyhow!("is no P-256 key"))?))
    }

    /// The hint for the key in a Sigstore bundle, the same as cosign's: SHA-256 of its SubjectPublicKeyInfo, in base64.
    pub(crate) fn hint(&self) -> String {
        STANDARD.encode(digest(&SHA256, &[&SPKI_P256[..], &self.0].concat()))
    }

    /// Verifies that a signature in base64 is this key's signature of these bytes.
    ///
    /// # Errors
    /// If it is not.
    pub(crate) fn verify(&self, message: &[u8], signature: &str) -> Result<(), String> {
        let signature = STANDARD.decode(signature.trim()).map_err(|_| "its signature is not base64".to_owned())?;
        // this also checks that the point is on the curve
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, self.0)
            .verify(message, &signature)
            .map_err(|_| "its signature is not this key's of this content".to_owned())
    }
}

/// The label and the body of the first PEM block (RFC 7468).
fn pem(text: &str) -> anyhow::Result<(&str, Vec<u8>)> {
    let (_, rest) = text.split_once("-----BEGIN ").context("has no PEM block")?;
    let (label, rest) = rest.split_once("-----").context("has a PEM block without an end")?;
    let (body, _) = rest.split_once("-----END ").context("has a PEM block without an end")?;
    let body: String = body.split_whitespace().collect();
    Ok((label, STANDARD.decode(body).map_err(|error| anyhow!("has a PEM block that is not base64: {error}"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // made by openssl 3.0: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`, `openssl pkey -pubout`
    const PRIVATE: &str = include_str!("../../golden/key.pem");
    const PUBLIC: &str = include_str!("../../golden/key.pub");
    // cosign 2.5.0: `COSIGN_PASSWORD=secret cosign generate-key-pair`
    const COSIGN: &str = include_str!("../../golden/cosign.key");
    const COSIGN_PUBLIC: &str = include_str!("../../golden/cosign.pub");
    // openssl: `printf 'hello' | openssl dgst -sha256 -sign key.pem | base64`
    const SIGNED: &str = include_str!("../../golden/hello.sig");

    fn error_text<T>(result: anyhow::Result<T>) -> String {
        format!("{:#}", result.err().expect("a fault"))
    }

    #[test]
    fn signatures_are_those_of_openssl_and_cosign() {
        let public = PublicKey::read(PUBLIC).unwrap();
        public.verify(b"hello", SIGNED).unwrap();
        assert_eq!(public.verify(b"hellO", SIGNED).unwrap_err(), "its signature is not this key's of this content");
        assert_eq!(public.verify(b"hello", "~").unwrap_err(), "its signature is not base64");
        let signed = PrivateKey::read(PRIVATE, None).unwrap().sign(b"x").unwrap();
        public.verify(b"x", &signed).unwrap();
        let cosign = PublicKey::read(COSIGN_PUBLIC).unwrap();
        assert!(cosign.verify(b"x", &signed).is_err());
        let signed = PrivateKey::read(COSIGN, Some("secret")).unwrap().sign(b"x").unwrap();
        cosign.verify(b"x", &signed).unwrap();
    }

    #[test]
    fn keys_that_are_none_are_named() {
        assert_eq!(error_text(PrivateKey::read(COSIGN, Some("Secret"))), "does not match the password in COSIGN_PASSWORD");
        assert_eq!(error_text(PrivateKey::read(COSIGN, None)), "is encrypted: set its password in COSIGN_PASSWORD");
        assert_eq!(error_text(PrivateKey::read(PUBLIC, None)), "is the public key; the private one signs");
        assert_eq!(error_text(PrivateKey::read("hello", None)), "has no PEM block");
        assert!(
            error_text(PrivateKey::read(&PRIVATE.replace("PRIVATE KEY", "EC PRIVATE KEY"), None))
                .contains("openssl pkcs8 -topk8")
        );
        assert_eq!(
            error_text(PublicKey::read(PRIVATE)),
            "is of kind \"PRIVATE KEY\"; a signature is verified by the PUBLIC KEY"
        );
        assert!(
            error_text(PublicKey::read("-----BEGIN PUBLIC KEY-----\n????\n-----END PUBLIC KEY-----")).contains("not base64")
        );
        assert_eq!(
            error_text(PublicKey::read("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")),
            "is no P-256 key"
        );
    }
}
