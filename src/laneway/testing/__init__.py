"""What tests of Laneway, of its plug-ins and of programs that use it may build on."""
