//! How an artifact of a workflow is unpacked: new files below the folder, and nothing else. Artifacts for the other tests of workflows.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use serde_json::{Value, json};
use testkit::repository;

/// Writes a zip with a .tar.gz in it; returns the digests of both.
const PACK: &str = r#"
import gzip, hashlib, io, json, pathlib, sys, tarfile, zipfile
KINDS = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE,
         "sparse": tarfile.REGTYPE}
def pack(target, entries, members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = KINDS[kind]
            member.mode = 0o755 if name.endswith(".sh") else 0o644
            member.linkname = content if kind.endswith("link") else ""
            # a byte, and then a hole
            member.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000"} if kind == "sparse" else {}
            data = content.encode() if kind in ("file", "sparse") else b""
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    archive = gzip.compress(packed.getvalue(), mtime=0)
    with zipfile.ZipFile(target, "w") as written:
        for name in entries:
            written.writestr(name, archive)
    digest = lambda data: "sha256:" + hashlib.sha256(data).hexdigest()
    return {"zip": digest(pathlib.Path(target).read_bytes()), "tar": digest(archive)}
"#;

/// A packed output, and the digests of its zip and of the .tar.gz in it.
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) zip: String,
    pub(crate) tar: String,
}

/// The folder of the interpreter itself: where `python3` is a script that looks for one, that takes longer than the tests.
static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().expect("python3 starts");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()).parent().unwrap().to_owned()
});

/// The search path, with that folder before all others.
pub(crate) fn path_with_python() -> String {
    format!("{}:{}", PYTHON.display(), std::env::var("PATH").unwrap())
}

pub(crate) fn python(arguments: &[&str], folder: &Path, stdin: &str) -> String {
    let mut child = Command::new(PYTHON.join("python3"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Name, kind and content of a member of an archive.
pub(crate) type Member = (&'static str, &'static str, &'static str);

/// An archive of the members in a zip, once under each name of the entries.
pub(crate) fn pack(entries: &[&str], members: &[Member]) -> Packed {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{PACK}\nprint(json.dumps(pack('packed.zip', *json.load(sys.stdin))))");
    let text = python(&["-c", &script], folder.path(), &json!([entries, members]).to_string());
    let digests: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    let digest = |name: &str| digests[name].as_str().unwrap().to_owned();
    Packed { bytes: fs::read(folder.path().join("packed.zip")).unwrap(), zip: digest("zip"), tar: digest("tar") }
}

/// Packs and unpacks each case in a folder that has `scripts/run.sh` and a link `models`; prints why not, and what the folder has then.
const UNPACK_EACH: &str = r#"
sys.path.insert(0, sys.argv[1])
import archives
for place, (entries, members, _) in enumerate(json.load(sys.stdin)):
    folder = pathlib.Path(f"case-{place}")
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts/run.sh").write_text("exit 0\n")
    (folder / "models").symlink_to("scripts")
    reason = None
    pack("packed.zip", entries, members)
    try:
        archives.extract_tar("packed.zip", "output-process.tar.gz", "output-process.tar.gz")
        archives.unpack_tar("output-process.tar.gz", folder)
    except archives.ArchiveError as error:
        reason = str(error)
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    print(json.dumps([reason, found, (folder / "scripts/run.sh").read_text()]))
"#;

#[test]
fn an_archive_with_anything_but_new_files_below_the_folder_is_not_unpacked() {
    let alone = ["output-process.tar.gz"].as_slice();
    let file = ("data/processed/cleaned.csv", "file", "new\n");
    let cases: &[(&[&str], &[Member], &str)] = &[
        (
            alone,
            &[file, ("../outside", "file", "x")],
            "holds '../outside', which is no path below the folder that it is unpacked in",
        ),
        (alone, &[file, ("data/../../outside", "file", "x")], "holds 'data/../../outside', which is no path"),
        (alone, &[file, ("/tmp/outside", "file", "x")], "holds '/tmp/outside', which is no path"),
        (alone, &[file, ("data/a\nb", "file", "x")], "holds 'data/a\\nb', which is no path"),
        (
            alone,
            &[file, ("data/link", "symlink", "../scripts")],
            "holds 'data/link', which is neither a regular file nor a folder",
        ),
        (alone, &[file, ("data/link", "hardlink", "data/processed/cleaned.csv")], "holds 'data/link', which is neither"),
        (alone, &[file, ("data/pipe", "fifo", "")], "holds 'data/pipe', which is neither"),
        (alone, &[file, ("data/hole", "sparse", "x")], "holds 'data/hole', which is neither"),
        (alone, &[file, file], "holds 'data/processed/cleaned.csv' twice"),
        (alone, &[file, ("data/processed", "file", "x")], "holds 'data/processed' as a file and as a folder"),
        (
            alone,
            &[file, ("data/processed/cleaned.csv/x", "file", "x")],
            "holds 'data/processed/cleaned.csv/x' as a file and as",
        ),
        (
            alone,
            &[file, ("scripts/json.py", "file", "x")],
            "holds 'scripts/json.py': outputs add no files to the folder 'scripts' that",
        ),
        (alone, &[file, ("scripts/run.sh", "file", "x")], "holds 'scripts/run.sh' with another content than the file here"),
        (
            alone,
            &[file, ("scripts/run.sh/x", "file", "x")],
            "holds 'scripts/run.sh/x', but 'scripts/run.sh' here is not a folder",
        ),
        (alone, &[file, ("scripts", "file", "x")], "holds 'scripts', which is something else here"),
        (alone, &[file, ("models/x", "file", "x")], "holds 'models/x', but 'models' here is not a folder"),
        (alone, &[("data", "folder", "")], "holds no file"),
        (&["output-train.tar.gz"], &[file], "holds 'output-train.tar.gz', and not output-process.tar.gz alone"),
        (
            &["output-process.tar.gz", "x"],
            &[file],
            "holds 'output-process.tar.gz', 'x', and not output-process.tar.gz alone",
        ),
        (&[], &[file], "holds nothing, and not output-process.tar.gz alone"),
        (alone, &[("./", "folder", ""), file, ("scripts/run.sh", "file", "exit 0\n")], ""),
    ];
    let folder = tempfile::tempdir().unwrap();
    let modules = repository().join("scripts/workflow");
    let script = format!("{PACK}{UNPACK_EACH}");
    let text = python(&["-B", "-c", &script, modules.to_str().unwrap()], folder.path(), &json!(cases).to_string());
    assert_eq!(text.lines().count(), cases.len(), "{text}");
    for ((_, _, expected), line) in cases.iter().zip(text.lines()) {
        let ending: Value = serde_json::from_str(line).unwrap();
        let here = if expected.is_empty() {
            json!(["data", "data/processed", "data/processed/cleaned.csv", "models", "scripts", "scripts/run.sh"])
        } else {
            json!(["models", "scripts", "scripts/run.sh"])
        };
        assert!(ending[0].as_str().unwrap_or_default().starts_with(expected), "{expected}\n{line}");
        assert_eq!((&ending[1], &ending[2]), (&here, &json!("exit 0\n")), "{expected}");
        assert_eq!(ending[0].is_null(), expected.is_empty(), "{line}");
    }
    assert!(!folder.path().join("outside").exists());
}

#[test]
fn an_archive_beyond_the_bounds_or_damaged_is_not_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let packed = pack(
        &["output-process.tar.gz"],
        &[("data/processed/cleaned.csv", "file", "new\n"), ("summary/run.sh", "file", "exit\n")],
    );
    fs::write(folder.path().join("packed.zip"), &packed.bytes).unwrap();
    let unpack = |change: &str| {
        let modules = repository().join("scripts/workflow");
        let script = format!(
            "import sys; sys.path.insert(0, {modules:?}); import archives, zipfile\n{change}\n\
             archives.extract_tar('packed.zip', 'output-process.tar.gz', 'x.tar.gz'); archives.unpack_tar('x.tar.gz', '.')\n"
        );
        let text = python(&["-B", "-c", &script], folder.path(), "");
        (text, folder.path().join("data").exists())
    };
    for (change, expected) in [
        ("archives.MAX_MEMBERS = 1", "ArchiveError: has more than 1 members\n"),
        ("archives.MAX_BYTES = 2000", "ArchiveError: has more than 2,000 bytes unpacked\n"),
        ("archives.MAX_BYTES = 100", "ArchiveError: has more than 100 bytes unpacked\n"),
        (
            "archives.extract_tar = lambda *_: open('x.tar.gz', 'wb').write(b'no gzip')",
            "ArchiveError: is not a readable .tar.gz: ",
        ),
        ("open('packed.zip', 'wb').write(b'no zip')", "ArchiveError: is not a readable zip: "),
    ] {
        let (text, unpacked) = unpack(change);
        assert!(text.contains(expected) && !unpacked, "{change}: {text}");
    }
    fs::write(folder.path().join("packed.zip"), &packed.bytes).unwrap();
    assert_eq!(unpack(""), (String::new(), true));
}
