//! Where a version of a registered model comes from: a URI, in which runs have Azure's ids and the emulator the name by which it was asked.

use serde_json::Value;

use super::ids::{Ids, Kind};
use super::rewrite::Refusal;
use super::{Asker, Error};

/// The part of a run's URI that names it: `runs:/<id>/model`.
fn of_run(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("runs:/")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// Puts the run of the server behind into a source; one of Azure's own form stays as it is, and means nothing there.
pub(super) fn inward(value: &mut Value, ids: &Ids) -> Result<Option<Refusal>, Error> {
    let uri = value.as_str().unwrap_or_default().to_owned();
    if let Some((run, path)) = of_run(&uri) {
        match ids.inner(Kind::Run, run)? {
            Some(inner) => *value = format!("runs:/{inner}/{path}").into(),
            None => return Ok(Some(Refusal::Unknown { kind: Kind::Run, id: run.to_owned() })),
        }
    }
    Ok(None)
}

/// Shows a source to who asks: it may have been given by another side, which calls the emulator by another name.
pub(super) fn outward(value: &mut Value, ids: &Ids, asker: &Asker) -> Result<(), Error> {
    let uri = value.as_str().unwrap_or_default().to_owned();
    if let Some((run, path)) = of_run(&uri) {
        if let Some(run) = ids.known(Kind::Run, run)? {
            *value = format!("runs:/{run}/{path}").into();
        }
    } else if let Some((_, path)) = uri.strip_prefix("azureml://").and_then(|rest| rest.split_once('/'))
        && let below = format!("/{path}")
        && below.to_lowercase().contains(&asker.scope.to_string().to_lowercase())
    {
        *value = format!("azureml://{}{below}", asker.host).into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::azureml::mlflow::ids::tests::{map, workspace};

    #[test]
    fn a_source_names_run_and_emulator_as_its_reader_knows_them() {
        let ids = map();
        ids.enter(Kind::Run, "job-1", "aaaa").expect("written");
        let asker = Asker { host: "172.18.0.1:4433".to_owned(), scope: workspace("w") };
        let scope = &asker.scope;
        for (given, behind, shown) in [
            ("runs:/job-1/a/b", "runs:/aaaa/a/b", "runs:/job-1/a/b"),
            ("models:/m-1", "models:/m-1", "models:/m-1"),
            ("azureml://artifacts/LocalUpload/x", "azureml://artifacts/LocalUpload/x", "azureml://artifacts/LocalUpload/x"),
        ] {
            let mut value = Value::from(given);
            assert_eq!(inward(&mut value, &ids).expect("read"), None);
            assert_eq!(value, behind);
            outward(&mut value, &ids, &asker).expect("read");
            assert_eq!(value, shown);
        }
        let mut value = Value::from(format!("azureml://127.0.0.1:4433/artifact/v2.0{scope}/experiments/e/runs/r/artifacts/model"));
        outward(&mut value, &ids, &asker).expect("read");
        assert_eq!(value, format!("azureml://172.18.0.1:4433/artifact/v2.0{scope}/experiments/e/runs/r/artifacts/model"));
        let unknown = inward(&mut Value::from("runs:/aaaa/model"), &ids).expect("read");
        assert_eq!(unknown, Some(Refusal::Unknown { kind: Kind::Run, id: "aaaa".to_owned() }));
    }
}
