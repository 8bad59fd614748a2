// What is known of a container at one moment.

export interface ContainerState {
  readonly current: Waiting | RunningState | Terminated;
  /** The end of the run before the present one. */
  readonly last: Terminated | undefined;
  readonly restarts: number;
  /** Its startup probe has succeeded, or there is none and it runs. */
  readonly started: boolean;
  readonly ready: boolean;
  readonly id: string;
}

export interface Waiting {
  readonly kind: "waiting";
  readonly reason: string;
  readonly message: string;
}

interface RunningState {
  readonly kind: "running";
  readonly startedAtMs: number;
}

export interface Terminated {
  readonly kind: "terminated";
  readonly reason: string;
  readonly message: string;
  readonly exitCode: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly id: string;
}

export const notStarted: ContainerState = {
  current: { kind: "waiting", reason: "PodInitializing", message: "" },
  last: undefined,
  restarts: 0,
  started: false,
  ready: false,
  id: "",
};
