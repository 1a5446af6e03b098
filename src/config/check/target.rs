//! `compute_target`.

use crate::config::document::TargetChoice;
use crate::config::layers::{self, Layers, strongest};
use crate::config::settings::Settings;
use crate::config::trust::{self, Author};
use crate::config::{Origin, Sourced};
use crate::support::words;
use crate::support::yaml::{Context, Place};
use crate::target::config::{Kind, Resources, Target, TargetConfig, TargetSpec};

/// The chosen target.
#[derive(Debug)]
pub(in crate::config) struct Chosen<'a> {
    /// What the job is told, and who chose it.
    pub(in crate::config) spec: Sourced<TargetSpec>,
    /// `resources:` of the target.
    pub(in crate::config) resources: Option<&'a Resources>,
    /// The settings that define it; `None` for inline and built-in targets.
    pub(in crate::config) settings: Option<&'a Settings>,
    /// Where it is written out; `None` for the built-in ones.
    pub(in crate::config) place: Option<&'a Place>,
    /// Where `max_jobs` stands.
    pub(in crate::config) max_jobs: Option<&'a Place>,
}

impl Chosen<'_> {
    /// Returns where a place of the target's own mapping comes from.
    pub(in crate::config) fn origin(&self, place: &Place) -> Origin {
        self.settings.map_or_else(|| layers::origin(place), |settings| settings.origin(place))
    }
}

/// What a layer chooses: a name (with its place, unless it is a flag's), or a target that is written out.
enum Choice<'a> {
    Name(String, Option<&'a Place>),
    Inline(Option<&'a Target>, &'a Place),
}

/// Returns the target of the strongest layer.
pub(in crate::config) fn check<'a>(written: Option<&'a TargetChoice>, layers: Layers<'a>, context: &Context) -> Option<Chosen<'a>> {
    let flag =
        layers.flags.target.clone().map(|name| Sourced { value: Choice::Name(name, None), origin: Origin::Flag("--target".to_owned()) });
    let written = written.map(|choice| match choice {
        TargetChoice::Named(name) => {
            Sourced { value: Choice::Name(name.text.clone(), Some(&name.place)), origin: layers::origin(&name.place) }
        }
        TargetChoice::Inline(target, place) => Sourced { value: Choice::Inline(target.as_deref(), place), origin: layers::origin(place) },
    });
    let mut choices = vec![flag, written];
    for settings in layers.settings {
        choices.push(
            settings
                .document
                .compute_target
                .as_ref()
                .map(|name| Sourced { value: Choice::Name(name.text.clone(), Some(&name.place)), origin: settings.origin(&name.place) }),
        );
    }
    let default = Sourced { value: Choice::Name("local".to_owned(), None), origin: Origin::Default };
    let Sourced { value: choice, origin } = strongest(choices).unwrap_or(default);
    let (chosen, place) = match choice {
        Choice::Name(name, place) => (named(&name, origin, place, layers, context)?, place),
        Choice::Inline(target, place) => {
            let target = target?;
            trust::may_name_credentials(Author::Project, "compute_target", target, context);
            (written_out("inline", target, origin, None), Some(place))
        }
    };
    let kind = chosen.spec.value.config.kind();
    if layers.flags.emulate {
        return emulated(chosen, kind, context);
    }
    if !trust::may_choose(&chosen.spec.origin, kind) {
        let name = &chosen.spec.value.name;
        let place = place.cloned().unwrap_or_else(|| Place::whole("default", name));
        context.find(
            &place,
            "settings may not choose a target that costs money",
            format!("`{name}` is of the kind `{}`", kind.word()),
            Some("name it in the run config, or with `--target`".to_owned()),
        );
        return None;
    }
    Some(chosen)
}

fn written_out<'a>(name: &str, target: &'a Target, origin: Origin, settings: Option<&'a Settings>) -> Chosen<'a> {
    let max_jobs = target.max_jobs.as_ref();
    let spec = TargetSpec {
        name: name.to_owned(),
        config: TargetConfig::read(target),
        max_jobs: max_jobs.map(|count| count.value.get()),
        emulated: false,
    };
    Chosen {
        spec: Sourced { value: spec, origin },
        resources: Some(&target.resources),
        settings,
        place: Some(&target.place),
        max_jobs: max_jobs.map(|count| &count.place),
    }
}

/// Puts a local emulation in the place of a target; what it would cost is no matter then.
fn emulated<'a>(chosen: Chosen<'a>, kind: Kind, context: &Context) -> Option<Chosen<'a>> {
    if !kind.has_emulator() {
        let all = words::any_of(Kind::ALL.into_iter().filter(|kind| kind.has_emulator()).map(Kind::word));
        let reason = format!("`{}` is of the kind `{}`, and there are emulators of {all}", chosen.spec.value.name, kind.word());
        let fix = "remove `--emulate`, or choose another target".to_owned();
        context.find(&Place::whole("--emulate", "--emulate"), "there is no emulator of this target", reason, Some(fix));
        return None;
    }
    let mut chosen = chosen;
    chosen.spec.value.emulated = true;
    Some(chosen)
}

/// Finds a target by its name: in the settings, the nearest first, else among the two that are always there.
fn named<'a>(name: &str, origin: Origin, place: Option<&Place>, layers: Layers<'a>, context: &Context) -> Option<Chosen<'a>> {
    if let Some((settings, target)) = layers.settings.iter().find_map(|settings| Some((settings, settings.target(name)?))) {
        let is_shadowed = layers.settings.iter().any(|other| other.is_own() && other.target(name).is_some());
        if is_shadowed && !settings.is_own() {
            context.note(format!("the target `{name}` of the project's settings takes the place of the one in your own"));
        }
        return Some(written_out(name, target, origin, Some(settings)));
    }
    let built_in = match name {
        "local" => Some(Kind::Local),
        "docker" => Some(Kind::Docker),
        _ => None,
    };
    if let Some(kind) = built_in {
        let spec = TargetSpec { name: name.to_owned(), config: TargetConfig::of(kind), max_jobs: None, emulated: false };
        return Some(Chosen { spec: Sourced { value: spec, origin }, resources: None, settings: None, place: None, max_jobs: None });
    }
    // One that could only be refused is no help.
    let usable = |settings: &'a Settings| {
        settings
            .target_names()
            .filter(|name| settings.target(name).is_some_and(|target| matches!(target.kind, Kind::Local | Kind::Docker | Kind::AzureMl)))
    };
    let mut names: Vec<&str> = layers.settings.iter().flat_map(usable).collect();
    names.extend(["local", "docker"]);
    names.dedup();
    let fix = crate::support::suggest::nearest(name, names.iter().copied()).map_or_else(
        || format!("the targets are {}; others are named in `sendoff.yaml`", words::all_of(&names)),
        |near| format!("did you mean `{near}`?"),
    );
    let flag = Place::whole("--target", name);
    context.find(place.unwrap_or(&flag), format!("there is no compute target `{name}`"), "no target of this name", Some(fix));
    None
}
