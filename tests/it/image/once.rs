//! Made once, kept while it is used.

use sendoff::engine::{ContainerSpec, Removal};
use sendoff::environment::{Base, Error, Step};

use super::World;

#[tokio::test]
#[ignore = "needs a container engine"]
async fn an_environment_becomes_an_image_once_and_its_packages_are_compiled() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "alpha one");
    let spec = world.spec(&[&alpha]);
    let made = world.provision(&spec).await.expect("it is made");
    assert!(made.fresh && made.fixed.lock == format!("{alpha}==1.0\n"), "{made:?}");
    let code = format!("import {alpha} as alpha, os; print(alpha.SAYS, os.path.exists(alpha.__cached__))");
    assert_eq!(world.run(&made, &["-c", &code]).await, "alpha one True\n");
    assert!(world.heard.take().contains(&Step::ImageStep("installing packages".to_owned())));

    let again = world.provision(&spec).await.expect("it is there");
    assert!(!again.fresh && again.id == made.id);
    assert_eq!(world.heard.take(), []);
    let inspection = world.images().inspect(&spec).await.expect("it is looked at");
    assert_eq!((inspection.id.as_ref(), inspection.built), (Some(&made.id), true));
    drop((again, made));
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_changed_list_installs_packages_and_nothing_else() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "alpha one");
    let beta = world.wheel("beta", "1.0", "beta one");
    let first = world.provision(&world.spec(&[&alpha])).await.expect("it is made");
    world.heard.take();
    let second = world.provision(&world.spec(&[&alpha, &beta])).await.expect("it is made");
    let steps: Vec<Step> = world.heard.take().into_iter().filter(|step| matches!(step, Step::ImageStep(_))).collect();
    assert_eq!(steps, ["installing packages", "writing the image"].map(|name| Step::ImageStep(name.to_owned())));
    assert_ne!(first.id, second.id);
    assert_eq!(world.says(&second, &beta).await, "beta one\n");

    // An image of an environment is an image like others.
    let mut spec = world.spec(&[&alpha, &beta]);
    spec.base = Base::Image(first.image.as_ref().expect("it is in an image").name.clone());
    let third = world.provision(&spec).await.expect("it is made");
    assert_eq!((world.says(&third, &alpha).await, world.says(&third, &beta).await), ("alpha one\n".to_owned(), "beta one\n".to_owned()));
    drop((first, second, third));
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn two_submissions_at_once_build_one_image() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "made once");
    let spec = world.spec(&[&alpha]);
    let (one, two) = tokio::join!(world.provision(&spec), world.provision(&spec));
    let (one, two) = (one.expect("it is made"), two.expect("it is there"));
    assert!(one.fresh != two.fresh && one.image == two.image, "{one:?} {two:?}");
    drop((one, two));
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn prune_passes_over_what_a_job_or_a_container_uses() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "to be pruned");
    let made = world.provision(&world.spec(&[&alpha])).await.expect("it is made");
    let images = world.images();
    assert_eq!(images.prune(None).await.expect("it is leased"), []);
    let image = made.image.clone().expect("it is in an image");
    let id = made.id.clone();
    drop(made);
    let name = format!("sendoff-test-prune-{}", std::process::id());
    let spec = ContainerSpec { name: name.clone(), image: image.id, ..ContainerSpec::default() };
    world.engine.create(&spec).await.expect("it is created");
    assert_eq!(images.prune(None).await.expect("it has a container"), []);
    assert!(matches!(images.prune(Some(&id)).await, Err(Error::InUse(_))));
    world.engine.remove(&name, Removal::Forced).await.expect("it is removed");
    let listed = world.sendoff(&["env", "list"]);
    let place = format!("  {} on ", image.name);
    assert!(listed.starts_with(id.short()) && listed.contains(&place) && listed.lines().count() == 1, "{listed}");
    let shown = world.sendoff(&["env", "show", id.short()]);
    assert!(shown.trim_end().ends_with(&format!("{alpha}==1.0")), "{shown}");
    assert_eq!(world.sendoff(&["env", "prune"]), "removed 1 environment\n");
    assert_eq!(images.list().await.expect("images are listed"), []);
    assert_eq!(world.engine.image(&image.name).await.expect("it is asked for"), None);
}
