import mlflow

mlflow.set_experiment("my-experiment")
mlflow.start_run()
mlflow.log_metric("mymetric", 1)
mlflow.end_run()
