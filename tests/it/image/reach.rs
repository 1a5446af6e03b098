//! How a build reaches a package index, and what of that stays in the image.

use futures_util::TryStreamExt;

use super::{World, told};

#[tokio::test]
#[ignore = "needs a container engine"]
async fn credentials_of_an_index_reach_the_build_and_no_layer() {
    let world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "behind a password");
    let file = format!("{alpha}-1.0-py3-none-any.whl");
    let wheel = std::fs::read(world.folder.path().join(format!("wheels/{file}"))).expect("it was made");
    let index = wiremock::MockServer::start().await;
    let answers = [
        (format!("/simple/{alpha}/"), format!("<a href='/files/{file}'>{file}</a>").into_bytes(), "text/html"),
        (format!("/files/{file}"), wheel, "application/zip"),
    ];
    for (path, body, kind) in answers {
        let is_asked = wiremock::Mock::given(wiremock::matchers::path(path)).and(wiremock::matchers::basic_auth("me", "hunter2"));
        is_asked.respond_with(wiremock::ResponseTemplate::new(200).set_body_raw(body, kind)).mount(&index).await;
    }
    wiremock::Mock::given(wiremock::matchers::any())
        .respond_with(wiremock::ResponseTemplate::new(401))
        .with_priority(9)
        .mount(&index)
        .await;
    let mut spec = world.spec(&[&alpha]);
    spec.find_links = Vec::new();
    spec.extra_index_urls = vec![format!("http://me:hunter2@{}/simple/", index.address())];

    let made = world.provision(&spec).await.expect("it is made");
    assert_eq!(world.says(&made, &alpha).await, "behind a password\n");
    let name = &made.image.as_ref().expect("it is in an image").name;
    let docker = bollard::Docker::connect_with_defaults().expect("there is an engine");
    let history = docker.image_history(name).await.expect("it has one");
    assert!(!format!("{history:?}").contains("hunter2"), "{history:?}");
    let saved: Vec<_> = docker.export_image(name).try_collect().await.expect("it is read");
    let saved = saved.concat();
    // What the package says is found, so what is looked through is not compressed.
    let has = |text: &str| saved.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("behind a password") && !has("hunter2"));
    drop(made);
    world.clean().await;
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn without_buildkit_a_public_index_serves_and_one_with_credentials_is_refused() {
    let mut world = World::new().await;
    world.variables.insert("DOCKER_BUILDKIT".to_owned(), "0".to_owned());
    let alpha = world.wheel("alpha", "1.0", "the classic way");
    let mut spec = world.spec(&[&alpha]);
    let made = world.provision(&spec).await.expect("it is made");
    assert_eq!(world.says(&made, &alpha).await, "the classic way\n");
    let fixed = made.fixed.clone();
    drop(made);
    world.clean().await;
    spec.extra_index_urls = vec!["https://me:hunter2@index.test/simple".to_owned()];
    let error = world.images().restore(&spec, fixed, &world.heard).await.expect_err("they would stay");
    insta::assert_snapshot!(told(&error), @"the package index wants credentials, and the container engine has no BuildKit: they would stay in the image");
}

#[tokio::test]
#[ignore = "needs a container engine"]
async fn a_proxy_serves_a_build() {
    let mut world = World::new().await;
    let alpha = world.wheel("alpha", "1.0", "by the proxy");
    let mut spec = world.spec(&[&alpha]);
    let made = world.provision(&spec).await.expect("it is made");
    let fixed = made.fixed.clone();
    drop(made);
    world.clean().await;

    let file = format!("{alpha}-1.0-py3-none-any.whl");
    let wheel = std::fs::read(world.folder.path().join(format!("wheels/{file}"))).expect("it was made");
    let proxy = wiremock::MockServer::start().await;
    let page = format!("<a href='/files/{file}'>{file}</a>").into_bytes();
    for (path, body, kind) in [(format!("/simple/{alpha}/"), page, "text/html"), (format!("/files/{file}"), wheel, "application/zip")] {
        let answer = wiremock::ResponseTemplate::new(200).set_body_raw(body, kind);
        wiremock::Mock::given(wiremock::matchers::path(path)).respond_with(answer).mount(&proxy).await;
    }
    // Only the proxy knows this host.
    spec.extra_index_urls = vec!["http://index.invalid/simple/".to_owned()];
    spec.find_links = Vec::new();
    world.variables.insert("http_proxy".to_owned(), proxy.uri());
    let made = world.images().restore(&spec, fixed, &world.heard).await.expect("it is made");
    assert_eq!(world.says(&made, &alpha).await, "by the proxy\n");
    let asked = proxy.received_requests().await.expect("they are kept");
    assert!(asked.iter().any(|request| request.url.host_str() == Some("index.invalid")), "{asked:?}");
    drop(made);
    world.clean().await;
}
