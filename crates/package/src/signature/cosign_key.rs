//! Decrypts the private key of `cosign generate-key-pair`: PKCS#8 in a NaCl secretbox, with a key derived from the password by scrypt.

use anyhow::{Context, anyhow, bail, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use poly1305::{Poly1305, universal_hash::KeyInit};
use salsa20::{
    XSalsa20,
    cipher::{KeyIvInit, StreamCipher},
};
use serde::Deserialize;
use subtle::ConstantTimeEq;

/// Bytes of the tag, which precedes the text.
const TAG_BYTES: usize = 16;

#[derive(Deserialize)]
struct EncryptedKey {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u32,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// The PKCS#8 bytes in the body of the PEM block.
///
/// # Errors
/// If it is encrypted in another way, its scrypt parameters are excessive, or the password is wrong.
pub(crate) fn decrypt(body: &[u8], password: &[u8]) -> anyhow::Result<Vec<u8>> {
    let encrypted: EncryptedKey = serde_json::from_slice(body).context("has an unreadable body")?;
    let known = encrypted.kdf.name == "scrypt" && encrypted.cipher.name == "nacl/secretbox";
    ensure!(
        known,
        "is encrypted by {} and {}; scrypt and nacl/secretbox were expected",
        encrypted.kdf.name,
        encrypted.cipher.name
    );
    let Params { n, r, p } = encrypted.kdf.params;
    // cosign writes 65536 (or 32768), 8 and 1: a file must not make this program use 256 MB
    if !(n.is_power_of_two() && (2..=1 << 17).contains(&n) && r == 8 && (1..=4).contains(&p)) {
        bail!("has scrypt parameters N={n}, r={r}, p={p}, which cosign never writes");
    }
    let decode = |text: &str| STANDARD.decode(text).context("has a body that is not base64");
    let params = scrypt::Params::new(n.ilog2() as u8, r, p)?;
    let mut key = [0; 32];
    scrypt::scrypt(password, &decode(&encrypted.kdf.salt)?, &params, &mut key)?;
    let nonce: [u8; 24] =
        decode(&encrypted.cipher.nonce)?.try_into().map_err(|_| anyhow!("has a nonce that is not 24 bytes"))?;
    open(key, nonce, &decode(&encrypted.ciphertext)?)
}

/// Opens a secretbox: a Poly1305 tag, then the text; the first 32 bytes of the XSalsa20 stream are the tag's key
/// (Bernstein, "Cryptography in NaCl", 2009).
fn open(key: [u8; 32], nonce: [u8; 24], encrypted: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (tag, text) = encrypted.split_at_checked(TAG_BYTES).context("has a truncated text")?;
    let mut stream = XSalsa20::new(&key.into(), &nonce.into());
    let mut tag_key = [0; 32];
    stream.apply_keystream(&mut tag_key);
    let computed = Poly1305::new(&tag_key.into()).compute_unpadded(text);
    ensure!(bool::from(computed.as_slice().ct_eq(tag)), "does not match the password in COSIGN_PASSWORD");
    let mut text = text.to_vec();
    stream.apply_keystream(&mut text);
    Ok(text)
}
