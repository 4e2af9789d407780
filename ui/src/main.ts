//! Starts the page: theme, pipe, root component.

import { mount } from 'svelte';
import '@fontsource-variable/inter/wght.css';
import './styles/tokens.css';
import './styles/base.css';
import App from './App.svelte';
import { openSocket } from './core/transports/ws';
import { app } from './state/app.svelte';
import { router } from './state/router.svelte';
import { theme } from './state/theme.svelte';

declare const __MOCK__: boolean;

theme.show();
if (__MOCK__) {
  // Left out of the ordinary build: the condition is a constant there.
  const { openMock } = await import('./core/transports/mock/index');
  router.start();
  app.start(openMock);
} else {
  app.start(openSocket); // takes the launch token out of the address first
  router.start();
}
mount(App, { target: document.getElementById('app')! });
