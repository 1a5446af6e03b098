//! `environment`.

use std::path::Path;

use crate::config::requirement;
use crate::environment::{Base, Mlflow, PackageSource, Section, Spec};
use crate::support::yaml::{Context, Place, Text};
use crate::target::config::{TargetConfig, TargetSpec};

/// Returns what the environment is made of; paths start at the run config's folder.
pub(super) fn check(section: Option<&Section>, folder: &Path, root: &Path, target: Option<&TargetSpec>, context: &Context) -> Option<Spec> {
    if let Some(python) = section.and_then(|section| section.python.as_ref())
        && let Some(reason) = python.value.refusal()
    {
        context.find(
            &python.place,
            "`environment.python` names no Python that a job can use",
            reason,
            Some("write `python: 3.11`, say".to_owned()),
        );
    }
    let empty = Section::default();
    let section = section.unwrap_or(&empty);
    let link = |text: &Text| if text.text.contains("://") { text.text.clone() } else { folder.join(&text.text).display().to_string() };
    if target.is_none_or(|target| target.config == TargetConfig::Local) {
        refuse_containers(section, context);
    }
    for url in section.index_url.iter().chain(section.extra_index_urls.iter().flat_map(|list| &list.items)) {
        if url::Url::parse(&url.text).is_err() {
            let fix = "write it like `https://pypi.org/simple`".to_owned();
            context.find(&url.place, "this is not the address of a package index", "not a URL", Some(fix));
        }
    }
    Some(Spec {
        python: section.python.as_ref().map(|python| python.value.0.clone()),
        packages: packages(section, folder, context)?,
        index_url: section.index_url.as_ref().map(|url| url.text.clone()),
        extra_index_urls: super::texts(section.extra_index_urls.as_ref()),
        find_links: section.find_links.iter().flat_map(|list| &list.items).map(link).collect(),
        install_project: section.install_project.as_ref().is_some_and(|flag| flag.value),
        system_packages: super::texts(section.system_packages.as_ref()),
        push: section.push.as_ref().map(|push| push.value.0.clone()),
        base: base(section, folder, context)?,
        root: root.to_owned(),
        mlflow: Mlflow::Client { server: None },
        extra: Vec::new(),
    })
}

/// Returns where the packages come from: one of four forms.
fn packages(section: &Section, folder: &Path, context: &Context) -> Option<PackageSource> {
    let Section { pip_packages, requirements_file, conda_file, pyproject, .. } = section;
    for text in pip_packages.iter().flat_map(|list| &list.items) {
        if let Err(refusal) = requirement::check(&text.text) {
            let message = match text.text.trim() {
                "" => "an entry of `pip_packages` is empty".to_owned(),
                text => format!("`{text}` is not a package"),
            };
            context.find(&text.place, message, refusal.reason, refusal.fix);
        }
    }
    let pip = pip_packages.as_ref().map(|list| {
        let packages = list.items.iter().map(|text| text.text.trim().to_owned()).collect();
        ("pip_packages", &list.place, PackageSource::Pip(packages))
    });
    let file = |key, text: &'_ Option<Text>, form: fn(std::path::PathBuf) -> PackageSource| {
        text.as_ref().map(|text| (key, text.place.clone(), form(folder.join(&text.text))))
    };
    let forms: Vec<(&str, Place, PackageSource)> = [
        pip.map(|(key, place, form)| (key, place.clone(), form)),
        file("requirements_file", requirements_file, PackageSource::RequirementsFile),
        file("conda_file", conda_file, PackageSource::CondaFile),
        file("pyproject", pyproject, PackageSource::Pyproject),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let [(first, ..), (second, place, _), ..] = forms.as_slice() {
        context.find(
            place,
            format!("`{first}` and `{second}` exclude each other"),
            "the packages come from one place",
            Some("keep one of them".to_owned()),
        );
        return None;
    }
    Some(forms.into_iter().next().map_or(PackageSource::Pip(Vec::new()), |(_, _, form)| form))
}

/// Returns what an image starts from: one of two forms, or the default.
fn base(section: &Section, folder: &Path, context: &Context) -> Option<Base> {
    let Section { image, dockerfile, build_context, .. } = section;
    if let (None, Some(text)) = (dockerfile, build_context) {
        let fix = "name the Dockerfile with `dockerfile:`, or remove it".to_owned();
        context.find(&text.place, "`build_context` is for a Dockerfile", "there is no `dockerfile` here", Some(fix));
    }
    match (image, dockerfile) {
        (Some(_), Some(second)) => {
            context.find(
                &second.place,
                "`image` and `dockerfile` exclude each other",
                "the image comes from one place",
                Some("keep one of them, or let the Dockerfile begin with `FROM` and that image".to_owned()),
            );
            None
        }
        (Some(image), None) => Some(Base::Image(image.text.clone())),
        (None, Some(dockerfile)) => {
            let path = folder.join(&dockerfile.text);
            let own = || path.parent().unwrap_or(folder).to_owned();
            Some(Base::Dockerfile { context: build_context.as_ref().map_or_else(own, |text| folder.join(&text.text)), path })
        }
        (None, None) => Some(Base::Python),
    }
}

fn refuse_containers(section: &Section, context: &Context) {
    let places = [
        ("image", section.image.as_ref().map(|text| &text.place)),
        ("dockerfile", section.dockerfile.as_ref().map(|text| &text.place)),
        ("build_context", section.build_context.as_ref().map(|text| &text.place)),
        ("system_packages", section.system_packages.as_ref().map(|list| &list.place)),
        ("push", section.push.as_ref().map(|push| &push.place)),
    ];
    for (key, place) in places {
        if let Some(place) = place {
            context.find(
                place,
                format!("`environment.{key}` needs a target with containers"),
                "the target here is this machine",
                Some("remove it, or choose another target".to_owned()),
            );
        }
    }
}
