//! The arguments as typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use cli::GlobalArgs;

use crate::gates::gate_name::GateName;

/// Pack a trained model with its preprocessor, schema, configuration, figures and model card into one bundle, if its lineage is
/// unbroken, it passes the gates, and a server started on it answers every test row as it was measured
#[derive(Debug, Parser)]
#[command(name = "package", version, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The folder of models, with what `train` wrote in <DIR>/trained
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) models_dir: Option<PathBuf>,

    /// The folder to write bundles to: <DIR>/<name>-<content id>/ and the same as .tar.gz
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) output: Option<PathBuf>,

    /// The table's schema and the stages' settings; its package section decides
    #[arg(long, value_name = "FILE", default_value = "configs/pipeline.yaml")]
    pub(crate) pipeline_config: PathBuf,

    #[command(flatten)]
    pub(crate) gates: GateArgs,

    #[command(flatten)]
    pub(crate) global: GlobalArgs,
}

/// What a model must stand before it is packaged.
#[derive(ClapArgs, Debug)]
#[command(next_help_heading = "Gates")]
pub(crate) struct GateArgs {
    /// The model in use, to be compared with on the same test rows: a bundle's folder or .tar.gz, models:/NAME@ALIAS or
    /// models:/NAME/VERSION of a registry. A registry that has none yet is no obstacle
    #[arg(long, value_name = "MODEL")]
    pub(crate) champion: Option<String>,

    /// The registry of models:/…: http://HOST:PORT or sqlite:///FILE.db. By default $MLFLOW_TRACKING_URI, or sqlite:///mlflow.db
    #[arg(long, value_name = "URI")]
    pub(crate) mlflow_tracking_uri: Option<String>,

    /// The `serve` that must answer every test row as it was measured. By default the one beside this program, or on the PATH
    #[arg(long, value_name = "FILE")]
    pub(crate) serve: Option<PathBuf>,

    /// Let a gate be missed; may be given several times. The reason goes into the bundle. The replay cannot be missed
    #[arg(long, value_name = "GATE", value_enum, requires = "reason")]
    pub(crate) allow: Vec<GateName>,

    /// Why that is to be borne
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
    /// Check a bundle or an image: every digest, that model and preprocessor belong together, that both can be used, and with a key the
    /// signature (exit 1 if not)
    Verify {
        /// The bundle, its folder or its .tar.gz; or the folder of an image
        #[arg(value_name = "PATH")]
        what: PathBuf,

        /// The public key that it must be signed with: a PEM file, or env:VARIABLE. A bundle is signed as .tar.gz
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Make a container image of a bundle and `serve`, without a container engine; its bill of materials and its provenance lie beside it
    Image(ImageArgs),
    /// Sign a file or an image, so that `package verify --key` and cosign can verify it
    Sign(SignArgs),
    /// Push an image, byte for byte, with its signatures if it has any
    Push {
        /// The folder of the image
        #[arg(value_name = "PATH")]
        image: PathBuf,

        /// Where to; as --push of `image`
        #[arg(value_name = "REGISTRY/NAME:TAG")]
        to: String,
    },
}

#[derive(ClapArgs, Debug)]
pub(crate) struct ImageArgs {
    /// The bundle: its folder or its .tar.gz
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: PathBuf,

    /// The folder to write the image to, as an OCI layout; <DIR>.sbom.cdx.json and <DIR>.provenance.json stand beside it
    #[arg(long, value_name = "DIR")]
    pub(crate) output: PathBuf,

    /// A static `serve` for Linux on amd64 or arm64; given twice, once for each, the image is for both
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) serve: Vec<PathBuf>,

    /// The image's name in its layout: `oci:DIR:NAME` for skopeo and podman. By default the tag of --push, or the bundle's content id
    #[arg(long, value_name = "NAME")]
    pub(crate) tag: Option<String>,

    /// Push it, byte for byte. The login is $REGISTRY_USER and $REGISTRY_PASSWORD, or what `docker login` left in its file; a registry on
    /// this machine is asked without TLS
    #[arg(long, value_name = "REGISTRY/NAME:TAG")]
    pub(crate) push: Option<String>,

    /// The Cargo.lock that `serve` was built with; by default that of this program
    #[arg(long, value_name = "FILE")]
    pub(crate) lock: Option<PathBuf>,

    /// Who builds, for the provenance
    #[arg(long, value_name = "URI")]
    pub(crate) builder_id: Option<String>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct SignArgs {
    /// A file (its signature goes to <PATH>.sigstore.json and, in the older form, to <PATH>.sig) or the folder of an image (into it)
    #[arg(value_name = "PATH")]
    pub(crate) what: PathBuf,

    /// The private key: ECDSA P-256 in a PEM file, as openssl (PKCS#8) or cosign writes it, or env:VARIABLE. The password of cosign's is
    /// $COSIGN_PASSWORD
    #[arg(long, value_name = "KEY")]
    pub(crate) key: String,

    /// Push image and signature
    #[arg(long, value_name = "REGISTRY/NAME:TAG")]
    pub(crate) push: Option<String>,
}
