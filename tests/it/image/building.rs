//! A build and how it may end.

use sendoff::environment::{Base, Step};

use super::{World, told};

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_failed_build_shows_the_step_with_its_last_lines_and_leaves_no_image() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "there");
    let spec = world.spec(&[&alpha]);
    let made = world.provision(&spec).await.expect("it is made");
    let mut fixed = made.fixed.clone();
    drop(made);
    world.clean().await;
    fixed.lock = "sendoffmissing==1.0\n".to_owned();
    let error = world.images().restore(&spec, fixed, &world.heard).await.expect_err("no index has it");
    insta::assert_snapshot!(told(&error), @r"
    could not build the image of the environment
    the step `installing packages` of the build failed: exit code 1
    Using Python 3.11.2 environment at: /opt/sendoff/env
    error: No solution found when resolving dependencies
      cause: Because sendoffmissing was not found in the package registry and you require sendoffmissing==1.0, we can conclude that your requirements are unsatisfiable.
    ");
    assert_eq!(
        world.images().list().await.expect("images are listed").iter().filter(|built| built.packages == ["sendoffmissing==1.0"]).count(),
        0
    );
    assert_eq!(world.images().prune(None).await.expect("nothing is left"), []);
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_build_that_is_given_up_leaves_no_image() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "given up");
    let spec = world.spec(&[&alpha]);
    {
        let images = world.images();
        let mut building = Box::pin(images.provision(&spec, false, &world.heard));
        let begun = async {
            while !world.heard.0.lock().expect("nobody panics meanwhile").iter().any(|step| matches!(step, Step::ImageStep(_))) {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            made = &mut building => panic!("it was too fast: {made:?}"),
            () = begun => {}
        }
    }
    assert!(!world.images().inspect(&spec).await.expect("it is looked at").built);
    assert!(world.provision(&spec).await.expect("it is made").fresh);
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_full_disk_is_called_by_its_name() {
    let world = World::new().await;
    let root = world.folder.path();
    let mut spec = world.spec(&[]);
    spec.base = Base::Dockerfile { path: root.join("Dockerfile"), context: root.to_owned() };
    let text = "FROM python:3.11-slim\nRUN cat /dev/zero >/dev/full\n";
    std::fs::write(root.join("Dockerfile"), text).expect("writable");
    let error = world.provision(&spec).await.expect_err("it cannot be written");
    insta::assert_snapshot!(world.plain(&told(&error)), @r"
    could not build `[ROOT]/Dockerfile`
    the disk of the container engine is full (`[2/2] RUN cat /dev/zero >/dev/full`)
    ");
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn debian_packages_come_before_those_of_the_lock() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "after the others");
    let mut spec = world.spec(&[&alpha]);
    spec.system_packages = vec!["sl".to_owned()];
    let made = world.provision(&spec).await.expect("it is made");
    let code = format!("import {alpha} as alpha, os; print(alpha.SAYS, os.path.exists('/usr/games/sl'))");
    assert_eq!(world.run(&made, &["-c", &code]).await, "after the others True\n");
    drop(made);
    world.clean().await;
}
