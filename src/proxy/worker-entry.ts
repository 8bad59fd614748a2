// The program of a worker thread: a whole proxy without servers of its own, told everything by the main thread.
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { describeError } from "#base/error.ts";
import { type LogLevel, LogRegistry } from "#base/log/log.ts";
import { ProcessCells } from "#base/threads/process-cells.ts";
import { SecretStore } from "#wire/tls/secrets.ts";
import type { RunningProxy } from "./options.ts";
import { startProxy } from "./start.ts";
import type { FromWorker, ToWorker, WorkerSettings } from "./worker/messages.ts";
import type { Configuration } from "./xds/configuration.ts";

async function serve(port: MessagePort, settings: WorkerSettings): Promise<void> {
  const log = new LogRegistry({ level: settings.logLevel as LogLevel, json: settings.logAsJson });
  const secrets = new SecretStore();
  const tell = (message: FromWorker): void => port.postMessage(message);
  let configuration: Configuration | null = null;
  let isReadyTold = false;
  const tellReady = (): void => {
    if (isReadyTold || proxy?.ready() !== true) return;
    isReadyTold = true;
    tell({ type: "ready" });
  };
  let proxy: RunningProxy | null = null;
  // Messages wait in the port until somebody listens.
  proxy = await startProxy({
    node: settings.node,
    role: settings.role,
    version: settings.version,
    overload: settings.overload,
    connectionLimits: settings.connectionLimits,
    runtime: settings.runtime,
    tracer: settings.tracer,
    local: settings.local,
    cells: new ProcessCells(settings.cells, settings.index),
    onEjected: (ejected) => tell({ type: "ejection", ejected }),
    loops: settings.loops,
    feed: (target) => {
      configuration = target;
      target.onChange(tellReady);
    },
    secrets,
    log,
    servers: {},
    explainToClients: settings.explainToClients,
    hostEnvironment: settings.hostEnvironment,
    sharesPorts: true,
  });
  const running = proxy;
  port.on("message", (message: ToWorker) => {
    switch (message.type) {
      case "update":
        configuration?.accept(message.update);
        break;
      case "certificate":
        secrets.setCertificate(message.name, message.certificate);
        break;
      case "roots":
        secrets.setTrustedRoots(message.name, message.pem, message.revocationList);
        break;
      case "revocations":
        secrets.setRevocationList(message.name, message.pem);
        break;
      case "noSecret":
        secrets.remove(message.name);
        break;
      case "report":
        tell({ type: "report", id: message.id, report: running.report() });
        break;
      case "startDraining":
        running.startDraining(message.scope);
        break;
      case "stopAccepting":
        running.stopAccepting(message.scope);
        break;
      case "failHealthChecks":
        running.failHealthChecks(message.isFailed);
        break;
      case "ejection":
        running.adoptEjection(message.ejected);
        break;
      case "runtime":
        running.modifyRuntime(message.changes);
        break;
      case "drain": {
        const { id } = message;
        void running.drain(message.deadlineMs).then((cut) => tell({ type: "drained", id, cut }));
        break;
      }
      case "stop":
        void running.stop().then(() => process.exit(0));
        break;
    }
    tellReady();
  });
}

if (parentPort !== null) {
  serve(parentPort, workerData as WorkerSettings).catch((error: unknown) => {
    console.error(`a worker can't start: ${describeError(error)}`);
    process.exit(1);
  });
}
