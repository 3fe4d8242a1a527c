//! Sigstore bundles of version 0.3: a signature as a JSON document that names the signed content and the key.
//!
//! The format is `sigstore_bundle.proto` of protobuf-specs. A file has a message signature. An image has a signed statement (DSSE 1.0.2
//! around in-toto) with its digest, under the predicate type that cosign uses for image signatures.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::signature::key::{PrivateKey, PublicKey};

/// The media type of a bundle.
pub(crate) const BUNDLE_MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The predicate type of a statement that an image is signed.
pub(crate) const SIGNATURE_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
/// The media type of a statement in an envelope.
const STATEMENT_MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// The type of a statement: the current one, and that of cosign 2.
const STATEMENT_TYPES: [&str; 2] = ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];

/// The bundle of a file whose `signature`, in base64, is that of `key`.
pub(crate) fn bundle_for_file(content: &[u8], signature: &str, key: &PublicKey) -> Value {
    json!({
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key.hint()}},
        "messageSignature": {
            "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(digest(&SHA256, content))},
            "signature": signature,
        },
    })
}

/// The bundle of the image with this digest in hexadecimal.
///
/// # Errors
/// If signing fails.
pub(crate) fn bundle_for_image(hex: &str, key: &PrivateKey) -> anyhow::Result<Value> {
    let statement = json!({
        "_type": STATEMENT_TYPES[0],
        "subject": [{"digest": {"sha256": hex}}],
        "predicateType": SIGNATURE_PREDICATE,
        "predicate": {},
    });
    let statement = statement.to_string().into_bytes();
    Ok(json!({
        "mediaType": BUNDLE_MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key.public().hint()}},
        "dsseEnvelope": {
            "payload": STANDARD.encode(&statement),
            "payloadType": STATEMENT_MEDIA_TYPE,
            "signatures": [{"sig": key.sign(&pre_authentication_encoding(STATEMENT_MEDIA_TYPE, &statement))?}],
        },
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigstoreBundle {
    media_type: String,
    verification_material: VerificationMaterial,
    message_signature: Option<MessageSignature>,
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerificationMaterial {
    public_key: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature {
    message_digest: Option<MessageDigest>,
    signature: String,
}

#[derive(Deserialize)]
struct MessageDigest {
    algorithm: String,
    digest: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: std::collections::BTreeMap<String, String>,
}

/// Checks the bundle of a file.
///
/// # Errors
/// Names the problem.
pub(crate) fn check_file(text: &[u8], content: &[u8], key: &PublicKey) -> Result<(), String> {
    let signed = read(text)?.message_signature.ok_or("it signs no file")?;
    if let Some(MessageDigest { algorithm, digest: stated }) = &signed.message_digest
        && (algorithm != "SHA2_256" || *stated != STANDARD.encode(digest(&SHA256, content)))
    {
        return Err("its signature is of another content".into());
    }
    key.verify(content, &signed.signature)
}

/// Checks the bundle of an image: `Ok(false)` if its statement is not a signature of an image.
///
/// # Errors
/// Names the problem.
pub(crate) fn check_image(text: &[u8], hex: &str, key: &PublicKey) -> Result<bool, String> {
    let envelope = read(text)?.dsse_envelope.ok_or("it signs no image")?;
    let payload = STANDARD.decode(&envelope.payload).map_err(|_| "its statement is not base64")?;
    if envelope.payload_type != STATEMENT_MEDIA_TYPE {
        return Err(format!("its statement is of type {:?}", envelope.payload_type));
    }
    let statement: Statement =
        serde_json::from_slice(&payload).map_err(|error| format!("its statement cannot be read: {error}"))?;
    if statement.predicate_type != SIGNATURE_PREDICATE {
        return Ok(false);
    }
    let [EnvelopeSignature { sig }] = envelope.signatures.as_slice() else {
        return Err(format!("its statement has {} signatures", envelope.signatures.len()));
    };
    key.verify(&pre_authentication_encoding(&envelope.payload_type, &payload), sig)?;
    let names = |subject: &Subject| subject.digest.get("sha256").is_some_and(|digest| digest == hex);
    if !STATEMENT_TYPES.contains(&statement.kind.as_str()) || !statement.subject.iter().any(names) {
        return Err("its signature is that of another image".into());
    }
    Ok(true)
}

fn read(text: &[u8]) -> Result<SigstoreBundle, String> {
    let bundle: SigstoreBundle =
        serde_json::from_slice(text).map_err(|error| format!("it is no Sigstore bundle: {error}"))?;
    if bundle.media_type != BUNDLE_MEDIA_TYPE {
        return Err(format!("it is of type {:?}, and {BUNDLE_MEDIA_TYPE:?} is read", bundle.media_type));
    }
    if bundle.verification_material.public_key.is_none() {
        return Err("it is not signed by a key".into());
    }
    Ok(bundle)
}

/// The signed bytes of an envelope (DSSE pre-authentication encoding).
fn pre_authentication_encoding(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    // `echo hello >f; cosign sign-blob --key cosign.key --new-bundle-format --bundle hello.sigstore.json --tlog-upload=false f` (cosign 2.5.0)
    const FILE: &str = include_str!("../../golden/hello.sigstore.json");
    // what `cosign attest --new-bundle-format --type https://sigstore.dev/cosign/sign/v1` (2.5.0) put beside an image of this digest
    const IMAGE: &str = include_str!("../../golden/image.sigstore.json");
    const DIGEST: &str = "570e212b4edf098eaef9831b5c6f018c006d83cbd1e0632d740660dc913ca8c5";

    fn keys() -> (PrivateKey, PublicKey, PublicKey) {
        let key = PrivateKey::read(include_str!("../../golden/key.pem"), None).unwrap();
        let cosign = PublicKey::read(include_str!("../../golden/cosign.pub")).unwrap();
        let public = key.public();
        (key, public, cosign)
    }

    #[test]
    fn what_cosign_writes_is_verified() {
        let (_, other, cosign) = keys();
        check_file(FILE.as_bytes(), b"hello\n", &cosign).unwrap();
        assert_eq!(check_file(FILE.as_bytes(), b"hellO\n", &cosign).unwrap_err(), "its signature is of another content");
        let another = "its signature is not this key's of this content";
        assert_eq!(check_file(FILE.as_bytes(), b"hello\n", &other).unwrap_err(), another);
        assert!(FILE.contains(&format!("\"hint\":\"{}\"", cosign.hint())), "{}", cosign.hint());
        assert_eq!(check_image(IMAGE.as_bytes(), DIGEST, &cosign), Ok(true));
        assert_eq!(check_image(IMAGE.as_bytes(), DIGEST, &other).unwrap_err(), another);
        let error = check_image(IMAGE.as_bytes(), &DIGEST.replace('5', "6"), &cosign).unwrap_err();
        assert_eq!(error, "its signature is that of another image");
        // one for the other
        assert_eq!(check_image(FILE.as_bytes(), DIGEST, &cosign).unwrap_err(), "it signs no image");
        assert_eq!(check_file(IMAGE.as_bytes(), b"hello\n", &cosign).unwrap_err(), "it signs no file");
    }

    #[test]
    fn what_is_written_is_read_and_every_change_is_noticed() {
        let (key, public, _) = keys();
        let file = bundle_for_file(b"x", &key.sign(b"x").unwrap(), &public).to_string();
        check_file(file.as_bytes(), b"x", &public).unwrap();
        let image = bundle_for_image(DIGEST, &key).unwrap();
        assert_eq!(check_image(image.to_string().as_bytes(), DIGEST, &public), Ok(true));

        let edited = |pointer: &str, value: Value| {
            let mut edited = image.clone();
            *edited.pointer_mut(pointer).unwrap() = value;
            check_image(edited.to_string().as_bytes(), DIGEST, &public)
        };
        assert!(edited("/mediaType", "other".into()).unwrap_err().starts_with("it is of type \"other\""));
        assert_eq!(edited("/verificationMaterial", json!({})).unwrap_err(), "it is not signed by a key");
        assert_eq!(edited("/dsseEnvelope/payloadType", "a".into()).unwrap_err(), "its statement is of type \"a\"");
        assert_eq!(edited("/dsseEnvelope/signatures", json!([])).unwrap_err(), "its statement has 0 signatures");
        let other = json!({"_type": STATEMENT_TYPES[0], "subject": [{"digest": {"sha256": DIGEST}}], "predicateType": SIGNATURE_PREDICATE, "x": 1});
        let error = edited("/dsseEnvelope/payload", STANDARD.encode(other.to_string()).into()).unwrap_err();
        assert_eq!(error, "its signature is not this key's of this content");
        let other = json!({"_type": STATEMENT_TYPES[0], "subject": [], "predicateType": "https://slsa.dev/provenance/v1"});
        assert_eq!(edited("/dsseEnvelope/payload", STANDARD.encode(other.to_string()).into()), Ok(false));
        assert!(check_image(b"{}", DIGEST, &public).unwrap_err().starts_with("it is no Sigstore bundle: "));
    }
}
