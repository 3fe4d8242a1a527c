//! `train rollback`: makes the previous champion the champion again.

use cli::{Outcome, Progress, Refused};
use serde::Serialize;
use tracking::{AliasChange, CHAMPION, ROLLED_BACK, move_alias, previous_version};

use crate::{args::RollbackArgs, tracking::registry};

#[derive(Serialize)]
struct Summary<'a> {
    name: &'a str,
    champion: &'a str,
    before: Option<&'a str>,
}

/// Moves the alias back to the previous version.
pub(crate) fn rollback(args: &RollbackArgs, progress: &Progress) -> anyhow::Result<Outcome> {
    let name = &args.name;
    let (registry, model) = registry::connect(&args.tracking, name, progress)?;
    let Some(version) = previous_version(&model, CHAMPION) else {
        return Err(Refused(format!(
            "{name}: there is no previous champion; `train versions --name {name}` shows the history"
        ))
        .into());
    };
    if !registry.versions(name)?.iter().any(|known| known.version == version) {
        return Err(Refused(format!("{name}: version {version}, the previous champion, was deleted")).into());
    }
    let before = model.aliases.get(CHAMPION);
    let reason = args.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let change = AliasChange {
        at: cli::now_ms().cast_signed(),
        version: version.clone(),
        from: before.cloned(),
        why: format!("{ROLLED_BACK}{reason}"),
        by: cli::user(),
    };
    move_alias(&*registry, name, CHAMPION, &change)?;
    let was = before.map_or("no version".to_owned(), |before| format!("version {before}"));
    let human = format!("rollback  done: version {version} of {name} is the champion again, instead of {was}");
    Ok(Outcome::done(&Summary { name, champion: &version, before: before.map(String::as_str) }, human))
}
