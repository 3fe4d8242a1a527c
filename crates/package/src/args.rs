//! The command-line arguments.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use cli::GlobalArgs;

use crate::gates::gate_name::GateName;

/// Package a trained model with its preprocessor, schema, configuration, metrics and model card as one bundle. The lineage must be
/// complete, the gates must pass, and a server must serve the evaluated prediction of every test row
#[derive(Debug, Parser)]
#[command(name = "package", version, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The folder of models; the outputs of `train` are in DIR/trained
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) models_dir: Option<PathBuf>,

    /// Write bundles to this folder: DIR/NAME-CONTENT_ID/ and the same as .tar.gz
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) output: Option<PathBuf>,

    /// Read the table's schema and the stages' settings, among them the section package, from this file
    #[arg(long, value_name = "FILE", default_value = "configs/pipeline.yaml")]
    pub(crate) pipeline_config: PathBuf,

    #[command(flatten)]
    pub(crate) gates: GateArgs,

    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// The gates of the stage.
#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Gates")]
pub(crate) struct GateArgs {
    /// Compare with this model, the one in use, on the same test rows: a bundle's folder or .tar.gz, models:/NAME@ALIAS or
    /// models:/NAME/VERSION of a registry. A registry without such a version is accepted
    #[arg(long, value_name = "MODEL")]
    pub(crate) champion: Option<String>,

    /// Use this registry for models:/…: http://HOST:PORT or sqlite:///FILE.db. By default $MLFLOW_TRACKING_URI, or sqlite:///mlflow.db
    #[arg(long, value_name = "URI")]
    pub(crate) mlflow_tracking_uri: Option<String>,

    /// Replay the test rows with this `serve`. By default the one beside this program, or on the PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) serve: Option<PathBuf>,

    /// Accept a failed gate; may be given several times. The reason is stored in the bundle. The replay must always pass
    #[arg(long, value_name = "GATE", value_enum, requires = "reason")]
    pub(crate) allow: Vec<GateName>,

    /// Why the failed gate is acceptable (required with --allow; stored in the bundle)
    #[arg(long, value_name = "TEXT", requires = "allow")]
    pub(crate) reason: Option<String>,
}

impl Args {
    /// The flags that all programs take.
    pub fn global(&self) -> &GlobalArgs {
        &self.global
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verify a bundle or an image: all digests, that model and preprocessor belong together and are valid, and with a key the signature
    /// (exit 1 if invalid)
    Verify {
        /// The folder or .tar.gz of a bundle, or the folder of an image
        #[arg(value_name = "PATH")]
        path: PathBuf,

        /// Verify the signature with this public key: a PEM file, or env:VARIABLE. A bundle is signed as .tar.gz
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Build a container image of a bundle and `serve`, without a container engine. Its bill of materials and provenance are written beside it
    Image(ImageArgs),
    /// Sign a file or an image, so that `package verify --key` and cosign can verify it
    Sign(SignArgs),
    /// Push an image, byte for byte, with its signatures if it has any
    Push {
        /// The folder of the image
        #[arg(value_name = "PATH")]
        image: PathBuf,

        /// The destination, as in --push of `image`
        #[arg(value_name = "REGISTRY/NAME:TAG")]
        to: String,
    },
}

#[derive(ClapArgs, Debug)]
pub(crate) struct ImageArgs {
    /// The folder or .tar.gz of the bundle
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: PathBuf,

    /// Write the image to this folder, as an OCI layout; DIR.sbom.cdx.json and DIR.provenance.json are written beside it
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// Put this static `serve` for Linux on amd64 or arm64 into the image; give one of each for an image of both
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) serve: Vec<PathBuf>,

    /// Name the image in its layout: `oci:DIR:NAME` for skopeo and podman. By default the tag of --push, or the bundle's content id
    #[arg(long, value_name = "NAME")]
    pub(crate) tag: Option<String>,

    /// Push the image, byte for byte. The login is $REGISTRY_USER and $REGISTRY_PASSWORD, or that of `docker login`; a registry on this
    /// machine is used without TLS
    #[arg(long, value_name = "REGISTRY/NAME:TAG")]
    pub(crate) push: Option<String>,

    /// Read the dependencies of `serve` from this Cargo.lock; by default from that of this program
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,

    /// Name the builder in the provenance
    #[arg(long, value_name = "URI")]
    pub(crate) builder_id: Option<String>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct SignArgs {
    /// A file (its signatures are PATH.sigstore.json and, in the older form, PATH.sig) or the folder of an image (stored in it)
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// Sign with this private key: ECDSA P-256 in a PEM file of openssl (PKCS#8) or cosign, or env:VARIABLE. The password of a cosign
    /// key is $COSIGN_PASSWORD
    #[arg(long, value_name = "KEY")]
    pub(crate) key: String,

    /// Push the image and its signature
    #[arg(long, value_name = "REGISTRY/NAME:TAG")]
    pub(crate) push: Option<String>,
}
