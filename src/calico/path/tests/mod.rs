mod firewall;
mod judged;
mod reading;
