//! What an image is made from.

use sendoff::environment::{Base, Error};

use super::{World, told};

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_dockerfile_is_the_base_and_what_it_copies_makes_it_another() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "from the base");
    let beta = world.wheel("beta", "1.0", "beta one");
    let root = world.folder.path();
    let text =
        "FROM python:3.11-slim\nCOPY wheels/alpha*-1.0-py3-none-any.whl data.txt /srv/\nRUN pip install --no-index /srv/*.whl\nUSER 1234\n";
    for (name, text) in [("Dockerfile", text), ("data.txt", "one\n"), (".dockerignore", "cache\ndata\n")] {
        std::fs::write(root.join(name), text).expect("writable");
    }
    let mut spec = world.spec(&[&alpha, &beta]);
    spec.base = Base::Dockerfile { path: root.join("Dockerfile"), context: root.to_owned() };
    // A newer one that the base does not have.
    world.wheel("alpha", "2.0", "from the index");
    let made = world.provision(&spec).await.expect("it is made");
    assert_eq!(made.fixed.lock, format!("{alpha}==1.0\n{beta}==1.0\n"));
    let code =
        format!("import {alpha} as alpha, {beta} as beta, os; print(alpha.SAYS, beta.SAYS, os.getuid(), open('/srv/data.txt').read())");
    assert_eq!(world.run(&made, &["-c", &code]).await, "from the base beta one 1234 one\n\n");
    let again = world.provision(&spec).await.expect("it is there");
    assert!(!again.fresh);
    std::fs::write(root.join("data.txt"), "two\n").expect("writable");
    let changed = world.provision(&spec).await.expect("it is made");
    assert!(changed.id != made.id && world.run(&changed, &["-c", "print(open('/srv/data.txt').read())"]).await == "two\n\n");

    std::fs::write(root.join("Dockerfile"), "FROM python:3.11-slim\nRUN echo first; echo second; exit 3\n").expect("writable");
    let error = world.provision(&spec).await.expect_err("it fails");
    insta::assert_snapshot!(world.plain(&told(&error)), @r"
    could not build `[ROOT]/Dockerfile`
    the step `[2/2] RUN echo first; echo second; exit 3` of the build failed: exit code 3
    first
    second
    ");
    drop((made, again, changed));
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn images_that_cannot_hold_an_environment_are_told_apart() {
    let world = World::new().await;
    let root = world.folder.path();
    let mut spec = world.spec(&[]);
    spec.base = Base::Dockerfile { path: root.join("Dockerfile"), context: root.to_owned() };
    let answer = r#"{"program": "/usr/bin/python3", "version": "3.11.2", "platform": "linux-x86_64", "glibc": null, "packages": {}}"#;
    std::fs::write(root.join("alpine"), format!("#!/bin/sh\necho '{answer}'\n")).expect("writable");
    let mut all = String::new();
    for text in [
        "FROM python:3.11-slim\nRUN rm /usr/bin/python /usr/bin/python3\n",
        "FROM python:3.11-slim\nCOPY alpine /usr/local/bin/python3\nRUN chmod 755 /usr/local/bin/python3\n",
        "FROM python:3.11-slim\nRUN rm /usr/bin/dash /usr/bin/sh\n",
    ] {
        std::fs::write(root.join("Dockerfile"), text).expect("writable");
        let error = world.provision(&spec).await.expect_err("it is refused");
        all.push_str(&format!("{}\nhint: {}\n", told(&error), sendoff::support::hints::Hints::hints(&error).join("\n")));
    }
    spec.base = Base::Image("sendoff-test/no-such-image:1".to_owned());
    let unknown = told(&world.provision(&spec).await.expect_err("no registry has it"));
    all.push_str(unknown.lines().next().unwrap_or_default());
    insta::assert_snapshot!(world.plain(&all), @r"
    could not find a Python in the image of `[ROOT]/Dockerfile`: neither `python3` nor `python` is on its PATH
    hint: take an image with Python, such as `python:3.11-slim`
    packages cannot be installed into the image of `[ROOT]/Dockerfile`: its C library is not glibc (Alpine's is musl)
    hint: take an image made of Debian packages, such as `python:3.11-slim`
    could not find a Python in the image of `[ROOT]/Dockerfile`: it has no shell either
    hint: take an image with Python, such as `python:3.11-slim`
    could not pull the image `sendoff-test/no-such-image:1`
    ");
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn the_platform_decides_which_base_image_serves() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "for the platform");
    let spec = world.spec(&[&alpha]);
    let own = world.engine.image("python:3.11-slim").await.expect("it is asked for").expect("it is there").platform;
    let made = world.images_of(Some(&own)).provision(&spec, false, &world.heard).await.expect("it is made");
    assert_eq!(made.image.as_ref().map(|image| image.platform.clone()), Some(own));
    drop(made);
    let error = world.images_of(Some("linux/s390x")).provision(&spec, false, &world.heard).await.expect_err("it has to be pulled");
    assert!(matches!(error, Error::Engine(sendoff::engine::Error::Pull { .. })), "{error:?}");
    world.clean().await;
}

#[test]
fn what_an_image_is_made_from_is_checked_before_anything_is_sent() {
    let sandbox = crate::support::Sandbox::new();
    sandbox.file("train.py", "").file("Dockerfile", "FROM python:3.11-slim\n");
    let environments = [
        "{image: a, dockerfile: Dockerfile}",
        "{dockerfile: missing/Dockerfile}",
        "{dockerfile: Dockerfile, build_context: nowhere}",
        "{build_context: .}",
    ];
    let mut all = String::new();
    for environment in environments {
        sandbox.file("run.yaml", &format!("script: train.py\ncompute_target: {{type: docker}}\nenvironment: {environment}\n"));
        all.push_str(&sandbox.sendoff(&["check"]).expect(244).stderr);
    }
    let project = sandbox.project().display().to_string();
    insta::assert_snapshot!(all.replace(&project, "[PROJECT]"), @r"
    error: `image` and `dockerfile` exclude each other
     --> run.yaml:3:37
      |
    3 | environment: {image: a, dockerfile: Dockerfile}
      |                                     ^^^^^^^^^^ the image comes from one place
      |
      = help: keep one of them, or let the Dockerfile begin with `FROM` and that image

    error: found 1 problem in `run.yaml`
    error: the file of `environment.dockerfile` is missing
     --> run.yaml:3:27
      |
    3 | environment: {dockerfile: missing/Dockerfile}
      |                           ^^^^^^^^^^^^^^^^^^ `[PROJECT]/missing/Dockerfile` does not exist
      |
      = help: the path is relative to this file

    error: found 1 problem in `run.yaml`
    error: the folder of `environment.build_context` is missing
     --> run.yaml:3:54
      |
    3 | environment: {dockerfile: Dockerfile, build_context: nowhere}
      |                                                      ^^^^^^^ `[PROJECT]/nowhere` does not exist
      |
      = help: the path is relative to this file

    error: found 1 problem in `run.yaml`
    error: `build_context` is for a Dockerfile
     --> run.yaml:3:30
      |
    3 | environment: {build_context: .}
      |                              ^ there is no `dockerfile` here
      |
      = help: name the Dockerfile with `dockerfile:`, or remove it

    error: found 1 problem in `run.yaml`
    ");
}
