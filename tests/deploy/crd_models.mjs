// Hold objects to the schemas of their operators: one line for each, "KIND ok" or what is wrong.
import fs from "node:fs";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const kinds = { PrometheusRule, ScaledObject, ServiceMonitor };
for (const each of JSON.parse(fs.readFileSync(process.argv[2], "utf8"))) {
  try {
    new kinds[each.kind](each).validate();
    console.log(each.kind, "ok");
  } catch (error) {
    console.log(each.kind, error.message);
  }
}
