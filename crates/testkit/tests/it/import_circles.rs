//! Files of a crate import each other in one direction, and by the path where an item is defined.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use testkit::repository;

/// The path of a module below its crate, `["serve", "http", "body"]` without the first name; the crate's root is empty.
type Module = Vec<String>;

/// The files of a crate: module and text.
type Sources = BTreeMap<Module, String>;

/// Reads the files below `src`. The root of a crate is `lib.rs`, or `main.rs` where there is no library.
fn read_sources(src: &Path) -> Sources {
    let mut sources = Sources::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let relative = path.strip_prefix(src).expect("a path below src").with_extension("");
            let mut module: Module = relative.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            if module == ["main"] && src.join("lib.rs").exists() {
                continue;
            }
            if module == ["lib"] || module == ["main"] {
                module.clear();
            }
            sources.insert(module, code_of(&fs::read_to_string(&path).expect("text")));
        }
    }
    sources
}

/// A source without comments and without its unit tests.
fn code_of(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The paths of a `use` tree, such as `a::{b, c::{self, d}}`, each as its segments.
fn expand(tree: &str, prefix: &[String], paths: &mut Vec<Vec<String>>) {
    let (mut depth, mut start) = (0, 0);
    let mut parts = Vec::new();
    for (at, character) in tree.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[start..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let (head, inner) = match part.split_once('{') {
            Some((head, inner)) => (head, inner.trim_end().strip_suffix('}')),
            None => (part.split(" as ").next().unwrap_or(part), None),
        };
        let names = head.split("::").map(str::trim).filter(|name| !name.is_empty() && *name != "self" || head == "self");
        let mut path = prefix.to_vec();
        path.extend(names.map(str::to_owned));
        match inner {
            Some(inner) => expand(inner, &path, paths),
            None => paths.push(path),
        }
    }
}

/// The paths that a source names inside of its crate, from the crate's root: those of `use` and those in expressions.
fn imports(module: &[String], code: &str) -> Vec<Vec<String>> {
    let (mut paths, mut rest) = (Vec::new(), String::new());
    let mut code = code;
    while let Some(at) = code.find("use ") {
        let is_word = !code[..at].ends_with(|character: char| character.is_alphanumeric() || character == '_');
        let end = code[at..].find(';').map_or(code.len(), |end| at + end);
        rest.push_str(&code[..at]);
        if is_word {
            expand(&code[at + 4..end].replace('\n', " "), &[], &mut paths);
        }
        code = &code[end..];
    }
    rest.push_str(code);
    for start in ["crate::", "super::"] {
        for (at, _) in rest.match_indices(start) {
            let is_path = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
            if rest[..at].ends_with(is_path) {
                continue;
            }
            let end = rest[at..].find(|character| !is_path(character)).map_or(rest.len(), |end| at + end);
            paths.push(rest[at..end].split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect());
        }
    }
    paths.into_iter().filter_map(|path| from_root(module, &path)).collect()
}

/// A path from the crate's root; `None` for a path of another crate.
fn from_root(module: &[String], path: &[String]) -> Option<Vec<String>> {
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => {
            let levels = path.iter().take_while(|name| *name == "super").count();
            Some([&module[..module.len().saturating_sub(levels)], &path[levels..]].concat())
        }
        _ => None,
    }
}

/// The longest module that a path begins with, and the item in it.
fn resolve<'p>(sources: &Sources, path: &'p [String]) -> (&'p [String], Option<&'p String>) {
    let length = (0..=path.len()).rev().find(|length| sources.contains_key(&path[..*length])).unwrap_or(0);
    (&path[..length], path.get(length))
}

/// The files that each file imports.
fn graph(sources: &Sources) -> BTreeMap<&Module, BTreeSet<Module>> {
    let targets = |module: &Module, code: &String| {
        let paths = imports(module, code);
        paths.iter().map(|path| resolve(sources, path).0.to_vec()).filter(|target| target != module).collect()
    };
    sources.iter().map(|(module, code)| (module, targets(module, code))).collect()
}

/// The files that can be reached from themselves along imports, and with that lie on a circle.
fn files_on_circles(sources: &Sources) -> Vec<String> {
    let graph = graph(sources);
    let reaches_itself = |module: &&Module| {
        let (mut open, mut reached) = (vec![(*module).clone()], BTreeSet::new());
        while let Some(next) = open.pop() {
            for target in &graph[&next] {
                if target == *module {
                    return true;
                }
                if reached.insert(target.clone()) {
                    open.push(target.clone());
                }
            }
        }
        false
    };
    sources.keys().filter(reaches_itself).map(|module| module.join("/")).collect()
}

/// Imports of an item by a module that only exports it.
fn imports_by_export(sources: &Sources) -> Vec<String> {
    let mut found = Vec::new();
    for (module, code) in sources.iter().filter(|(module, _)| !module.is_empty()) {
        for path in imports(module, code) {
            let (target, Some(item)) = resolve(sources, &path) else { continue };
            let exports = sources[target].split(';').filter_map(|statement| statement.trim().strip_prefix("pub"));
            let is_export = |statement: &str| {
                let Some((_, tree)) = statement.split_once("use ") else { return false };
                let mut paths = Vec::new();
                expand(&tree.replace('\n', " "), &[], &mut paths);
                paths.iter().any(|path| path.last() == Some(item))
            };
            if target != module.as_slice() && exports.into_iter().any(is_export) {
                found.push(format!("{} imports {} by {}", module.join("/"), item, target.join("/")));
            }
        }
    }
    found
}

fn crates() -> Vec<(String, Sources)> {
    let entries = fs::read_dir(repository().join("crates")).expect("a folder").flatten();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folders = entries.map(|entry| entry.path()).filter(|path| path.join("src").is_dir());
    folders.map(|path| (name(&path), read_sources(&path.join("src")))).collect()
}

fn planted(files: &[(&str, &str)]) -> Sources {
    let module = |path: &str| path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    files.iter().map(|(path, text)| (module(path), code_of(text))).collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let crates = crates();
    assert!(crates.len() > 15 && crates.iter().map(|(_, sources)| sources.len()).sum::<usize>() > 300);
    for (name, sources) in crates {
        assert_eq!(files_on_circles(&sources), [""; 0], "files of {name} import each other in a circle");
    }
}

#[test]
fn imports_inside_of_a_crate_name_the_path_of_the_item() {
    for (name, sources) in crates() {
        assert_eq!(imports_by_export(&sources), [""; 0], "in {name}");
    }
}

#[test]
fn a_circle_of_three_files_is_noticed() {
    let files = [
        ("", "pub use a::A;\nmod a;\nmod b;\nmod c;\n"),
        ("a", "use crate::b::{self, B};\npub struct A;\n"),
        ("b", "pub struct B;\nfn f() { crate::c::deep::g() }\n"),
        ("c", "//! use crate::b::B;\nfn h() {}\n"),
        ("c/deep", "use super::super::{a::A as Other, c};\nuse std::fmt;\n#[cfg(test)]\nmod tests { use crate::c::x; }\n"),
    ];
    assert_eq!(files_on_circles(&planted(&files)), ["a", "b", "c/deep"]);
    // the same without the line that closes it, and with it in the tests alone
    for end in ["use std::fmt;\n", "#[cfg(test)]\nmod tests { use crate::a::A; }\n", "// use crate::a::A;\n"] {
        let mut open = files;
        open[4].1 = end;
        assert_eq!(files_on_circles(&planted(&open)), [""; 0], "{end}");
    }
}

#[test]
fn an_import_by_an_export_is_noticed() {
    let files = [("", "pub use a::{A, B as C};\nmod a;\nmod b;\n"), ("a", "pub struct A;\n"), ("b", "use crate::A;\n")];
    assert_eq!(imports_by_export(&planted(&files)), ["b imports A by "]);
    let files = [("", "pub use a::A;\nmod a;\nmod b;\n"), ("a", "pub struct A;\n"), ("b", "use crate::a::A;\n")];
    assert_eq!(imports_by_export(&planted(&files)), [""; 0]);
}
