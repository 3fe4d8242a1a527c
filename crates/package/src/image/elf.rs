//! Reads the processor of a program from the header of its file.

use anyhow::{bail, ensure};
use oci_spec::image::Arch;

/// The segment that names the loader of a dynamically linked program.
const PT_INTERP: u32 = 3;

/// The processor of a static Linux program (ELF-64, System V ABI: the header and the program headers).
///
/// # Errors
/// If it is no such program, or needs libraries that an empty image does not have.
pub fn architecture(bytes: &[u8]) -> anyhow::Result<Arch> {
    ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "is not a 64-bit Linux program");
    let half = |at: usize| bytes.get(at..)?.first_chunk().map(|field| u16::from_le_bytes(*field));
    let word = |at: usize| bytes.get(at..)?.first_chunk().map(|field| u32::from_le_bytes(*field));
    let long = |at: usize| bytes.get(at..)?.first_chunk().map(|field| u64::from_le_bytes(*field));
    let arch = match half(18) {
        Some(62) => Arch::Amd64,
        Some(183) => Arch::ARM64,
        _ => bail!("is for a processor that is neither amd64 nor arm64"),
    };
    let (Some(table), Some(size), Some(count)) = (long(32), half(54), half(56)) else { bail!("is truncated") };
    for entry in 0..usize::from(count) {
        let at = usize::try_from(table)?.checked_add(entry * usize::from(size));
        match at.and_then(word) {
            Some(PT_INTERP) => bail!(
                "needs a loader and libraries, which an empty image does not have. Build it with RUSTFLAGS=\"-C \
                 target-feature=+crt-static\" and --target (docs/delivery.md)"
            ),
            Some(_) => {}
            None => bail!("is truncated"),
        }
    }
    Ok(arch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a program for `machine`, with one segment of `kind`.
    fn program(machine: u16, kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    #[test]
    fn static_programs_are_told_from_others() {
        assert_eq!(architecture(&program(62, 1)).unwrap(), Arch::Amd64);
        assert_eq!(architecture(&program(183, 1)).unwrap(), Arch::ARM64);
        let error_of = |bytes: &[u8]| architecture(bytes).unwrap_err().to_string();
        assert_eq!(error_of(b"#!/bin/sh\n"), "is not a 64-bit Linux program");
        assert_eq!(error_of(&program(243, 1)), "is for a processor that is neither amd64 nor arm64");
        assert!(error_of(&program(62, PT_INTERP)).starts_with("needs a loader and libraries"));
        assert_eq!(error_of(&program(62, 1)[..60]), "is truncated");
        assert_eq!(error_of(&program(62, 1)[..20]), "is truncated");
        let mut far = program(62, 1);
        far[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(error_of(&far), "is truncated");
        // the test program itself has a loader
        let running = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(architecture(&running).is_err());
    }
}
