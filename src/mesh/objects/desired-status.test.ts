import assert from "node:assert/strict";
import { test } from "node:test";
import { joinStatus } from "./desired-status.ts";

const condition = (type: string, status: string, more: object = {}): object => ({ type, status, reason: "R", ...more });

test("a condition keeps its time while its status stays, and gets the present one when it changes", () => {
  const current = {
    replicas: 1,
    conditions: [
      condition("Accepted", "True", { lastTransitionTime: "then" }),
      condition("Programmed", "False", { lastTransitionTime: "then" }),
    ],
  };
  const desired = { conditions: [condition("Accepted", "True"), condition("Programmed", "True")] };
  assert.deepEqual(joinStatus(current, desired, "now"), {
    replicas: 1,
    conditions: [
      condition("Accepted", "True", { lastTransitionTime: "then" }),
      condition("Programmed", "True", { lastTransitionTime: "now" }),
    ],
  });
});

test("what was written once is equal when it is joined again", () => {
  const desired = {
    listeners: [{ name: "http", conditions: [condition("Accepted", "True")] }],
    parents: [
      {
        parentRef: { name: "a", group: "g" },
        controllerName: "istio.io/gateway-controller",
        conditions: [condition("Accepted", "True")],
      },
    ],
  };
  const written = joinStatus(undefined, desired, "then");
  assert.deepEqual(joinStatus(written, desired, "now"), written);
});

test("the parents that another controller wrote stay, our own are replaced", () => {
  const other = { parentRef: { name: "b" }, controllerName: "example.com/other", conditions: [] };
  const earlier = { parentRef: { name: "gone" }, controllerName: "istio.io/gateway-controller", conditions: [] };
  assert.deepEqual(joinStatus({ parents: [other, earlier] }, { parents: [] }, "now"), { parents: [other] });
});

test("conditions of types that are never written here stay, those of ours that are not wanted any more go", () => {
  const condition = (type: string, status = "True"): object => ({ type, status, lastTransitionTime: "then" });
  const current = {
    conditions: [condition("example.com/Scanned"), condition("Accepted"), condition("InsecureFrontendValidationMode")],
    listeners: [{ name: "http", conditions: [condition("example.com/Scanned"), condition("Accepted", "False")] }],
  };
  const accepted = { type: "Accepted", status: "True" };
  const desired = { conditions: [accepted], listeners: [{ name: "http", conditions: [accepted] }] };
  assert.deepEqual(joinStatus(current, desired, "now"), {
    conditions: [condition("example.com/Scanned"), condition("Accepted")],
    listeners: [
      { name: "http", conditions: [condition("example.com/Scanned"), { ...accepted, lastTransitionTime: "now" }] },
    ],
  });
});
