// Starts everything that makes the cluster become what its objects say.

import { Lifecycle, type Running } from "#base/lifecycle.ts";
import { systemClock } from "#base/time/clock.ts";
import { bootstrap } from "./bootstrap.ts";
import { startDaemonSetController } from "./daemon-set/daemon-set.ts";
import { startDeploymentController } from "./deployment/deployment.ts";
import { startEndpointSliceController } from "./endpoint-slice/endpoint-slice.ts";
import { startEventSweeper } from "./event-recorder.ts";
import { startGarbageCollector } from "./garbage-collector.ts";
import { startJobController } from "./job/job.ts";
import { startLoadBalancer } from "./load-balancer/load-balancer.ts";
import { startNamespaceContent } from "./namespace/namespace-content.ts";
import { startNamespaceDeletion } from "./namespace/namespace-deletion.ts";
import type { ControllerContext, ControllerOptions } from "./options.ts";
import { startPodCollector } from "./pod-collector.ts";
import { startReplicaSetController } from "./replica-set/replica-set.ts";
import { startScheduler } from "./scheduler.ts";
import { startRequestSweeper } from "./signer/request-sweeper.ts";
import { startSigner } from "./signer/signer.ts";
import { startStatefulSetController } from "./stateful-set/stateful-set.ts";

/** Writes what a cluster begins with, then runs all controllers until they are stopped. */
export function startControllers(options: ControllerOptions): Running {
  const { store, admission, log, clock = systemClock } = options;
  const context: ControllerContext = { store, admission, log, clock };
  bootstrap(options);
  const lifecycle = new Lifecycle();
  lifecycle.add(startNamespaceContent(context, options.caPem));
  lifecycle.add(startNamespaceDeletion(context));
  lifecycle.add(startGarbageCollector(context));
  lifecycle.add(startDeploymentController(context));
  lifecycle.add(startReplicaSetController(context));
  lifecycle.add(startStatefulSetController(context));
  lifecycle.add(startDaemonSetController(context));
  lifecycle.add(startJobController(context));
  lifecycle.add(startScheduler(context, options.nodeName ?? "outrigger-node"));
  lifecycle.add(startEndpointSliceController(context));
  lifecycle.add(startLoadBalancer(context));
  lifecycle.add(startSigner(context));
  lifecycle.add(startRequestSweeper(store, clock));
  lifecycle.add(startPodCollector(store, clock));
  lifecycle.add(startEventSweeper(store, clock));
  return lifecycle;
}
