// SPDX-License-Identifier: Apache-2.0

// Package dashboard uses the dashboard of the running product in a real
// Chromium, as a person does: with mouse, with keyboard, in light, dark and
// narrow. It needs the build tag chromium; run it with make check-dashboard,
// which also finds the browser and axe-core. Screenshots of every step go to
// bin/dashboard. Nobody imports it.
package dashboard
