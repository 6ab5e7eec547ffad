use rrm_spec::{ArtifactRef, Device, ImportedNetwork, JobSpec, ModelSource, NetworkSpec, Normalization};
use rrm_store::{CollectArtifacts, KeepImport, LoseArtifacts, StoreError};

use crate::bench::{Bench, CHAIN, hash, plan};

const NAME: &str = "madry-linf";

/// An imported network for the images of the plans here.
pub(crate) fn network(content: &str) -> ImportedNetwork {
    let network = NetworkSpec {
        arch: "dnn/16".parse().unwrap(),
        channels: 1,
        classes: 10,
        normalization: Normalization::FashionMnist,
        representation_width: 32,
        temperature: 1.0,
    };
    let (name, origin) = (NAME.parse().unwrap(), "cifar_linf_8.pt".to_owned());
    ImportedNetwork { name, sha256: hash(content), bytes: 10, network, origin }
}

impl Bench {
    pub(crate) async fn import(&self, import: &ImportedNetwork) -> Result<(), StoreError> {
        self.keep(&import.sha256).await;
        self.write(KeepImport { import: import.clone() }).await
    }
}

/// The plan with an imported teacher.
fn taught_by(artifact: &str) -> rrm_spec::Plan {
    plan(&CHAIN.replace("{ job = \"teacher\" }", &format!("{{ artifact = \"{artifact}\" }}")))
}

#[tokio::test]
async fn a_name_stands_for_one_network_for_good() {
    let bench = Bench::new().await;
    for _ in 0..2 {
        bench.store.name_is_free_for(&network("weights")).await.unwrap();
        bench.import(&network("weights")).await.unwrap();
    }
    // Before a file is sent and after.
    let early = bench.store.name_is_free_for(&network("others")).await;
    for refused in [early, bench.import(&network("others")).await] {
        assert!(matches!(&refused, Err(StoreError::Conflict { what }) if what.contains(NAME)), "{refused:?}");
    }
    assert_eq!(bench.store.imports().await.unwrap(), [network("weights")]);
    assert_eq!(bench.event_kinds().await, ["import"]);
}

#[tokio::test]
async fn an_imported_network_is_kept_though_no_job_refers_to_it() {
    let bench = Bench::new().await;
    bench.import(&network("weights")).await.unwrap();
    bench.keep(&hash("stray")).await;
    let now = bench.now() + 1_000_000;
    let collect = CollectArtifacts { superseded_before: now, ended_before: now, unknown_before: now };
    assert_eq!(bench.write(collect).await.unwrap(), [hash("stray")]);
    assert!(bench.store.artifact(&hash("weights")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_job_holds_the_network_by_name_and_hash_and_its_worker_gets_the_file() {
    let bench = Bench::new().await;
    bench.import(&network("weights")).await.unwrap();
    let sha256 = hash("weights");
    let worker = bench.worker("node", &[Device::Cpu]).await;
    for artifact in [NAME.to_owned(), format!("sha256:{sha256}"), format!("{NAME}@sha256:{sha256}")] {
        let jobs = bench.submitted(&taught_by(&artifact)).await;
        let student = bench.job(jobs[1]).await;
        let pinned = ArtifactRef::Pinned(NAME.parse().unwrap(), sha256.clone());
        assert_eq!(student.spec.source(), Some(&ModelSource::Artifact(pinned)), "{artifact}");
        assert_eq!((student.parents, student.summary.reason), (Vec::new(), None));
    }
    loop {
        let lease = bench.start(worker).await;
        if let JobSpec::Train(_) = lease.spec
            && lease.spec.source().is_some()
        {
            let [input] = lease.inputs.as_slice() else { panic!("{:?}", lease.inputs) };
            assert_eq!((input.job, &input.sha256, input.bytes), (None, &sha256, 10));
            break;
        }
        bench.finish(&lease).await;
    }
}

#[tokio::test]
async fn a_network_that_is_not_there_or_was_lost_is_refused_by_name() {
    let bench = Bench::new().await;
    let not_found = |refused: Result<rrm_store::Submitted, StoreError>, part: &str| {
        assert!(matches!(&refused, Err(StoreError::NotFound { what }) if what.contains(part)), "{refused:?}");
    };
    not_found(bench.submit(&taught_by(NAME)).await, "the network madry-linf (named by `student`)");
    bench.import(&network("weights")).await.unwrap();
    let other = format!("{NAME}@sha256:{}", hash("others"));
    not_found(bench.submit(&taught_by(&other)).await, &other);
    bench.write(LoseArtifacts { lost: vec![hash("weights")] }).await.unwrap();
    not_found(bench.submit(&taught_by(NAME)).await, NAME);
    bench.import(&network("weights")).await.unwrap();
    bench.submit(&taught_by(NAME)).await.unwrap();
}

#[tokio::test]
async fn a_network_of_other_images_or_classes_is_refused_with_its_field() {
    let bench = Bench::new().await;
    let colour =
        NetworkSpec { channels: 3, classes: 100, normalization: Normalization::Identity, ..network("").network };
    bench.import(&ImportedNetwork { network: colour, ..network("weights") }).await.unwrap();
    let evaluated = CHAIN.replace("{ job = \"student\" }", &format!("{{ artifact = \"{NAME}\" }}"));
    let told = bench.submit(&plan(&evaluated)).await.unwrap_err().to_string();
    for part in ["job.attack.model.artifact = madry-linf", "must take 1×32×32", "must know the 10 classes"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
}

#[tokio::test]
async fn final_weights_can_be_named_by_their_hash_and_other_files_cannot() {
    let bench = Bench::new().await;
    let jobs = bench.submitted(&plan(CHAIN)).await;
    let worker = bench.worker("node", &[Device::Cpu]).await;
    let lease = bench.start(worker).await;
    bench.finish(&lease).await;
    let weights = bench.job(jobs[0]).await.checkpoints.last().unwrap().sha256.clone();
    let later = bench.submitted(&taught_by(&format!("sha256:{weights}"))).await;
    let source = bench.job(later[1]).await.spec.source().cloned();
    assert_eq!(source, Some(ModelSource::Artifact(ArtifactRef::Hash(weights))));
    bench.keep(&hash("stray")).await;
    let stray = bench.submit(&taught_by(&format!("sha256:{}", hash("stray")))).await;
    assert!(matches!(stray, Err(StoreError::NotFound { .. })), "{stray:?}");
}
