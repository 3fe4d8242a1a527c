//! `train rollback`: the champion before becomes the champion again.

use cli::{Outcome, Progress, Refused};
use serde::Serialize;
use tracking::{CHAMPION, Move, ROLLED_BACK, move_alias, previous};

use crate::{args::RollbackArgs, tracking::registry};

#[derive(Serialize)]
struct Summary<'a> {
    name: &'a str,
    champion: &'a str,
    before: Option<&'a str>,
}

/// Moves the alias back.
pub(crate) fn rollback(args: &RollbackArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let name = &args.name;
    let (registry, model) = registry::open(&args.tracking, name, progress)?;
    let Some(version) = previous(&model, CHAMPION) else {
        return Err(Refused(format!(
            "{name}: no version was the champion before; `train versions --name {name}` shows the history"
        ))
        .into());
    };
    if !registry.versions(name)?.iter().any(|known| known.version == version) {
        return Err(Refused(format!("{name}: version {version}, the champion before, was deleted")).into());
    }
    let before = model.aliases.get(CHAMPION);
    let reason = args.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let moved = Move {
        at: cli::now_ms().cast_signed(),
        version: version.clone(),
        from: before.cloned(),
        why: format!("{ROLLED_BACK}{reason}"),
        by: cli::user(),
    };
    move_alias(&*registry, name, CHAMPION, &moved)?;
    let was = before.map_or("nobody".to_owned(), |before| format!("version {before}"));
    let human = format!("rollback  done: version {version} of {name} is the champion again, {was} was");
    Ok(Outcome::done(&Summary { name, champion: &version, before: before.map(String::as_str) }, human))
}
